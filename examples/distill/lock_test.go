package main

import (
	"os"
	"strings"
	"testing"

	"github.com/aha-go/aha/model/train/run"
)

func TestFolderInUseIsRefusedBeforeItIsTouched(t *testing.T) {
	dir := t.TempDir()
	lock, err := run.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	err = start(t.Context(), options{Device: "cpu", Out: dir, Teacher: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), dir+" is in use by this process") {
		t.Errorf("error is %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("left %v, %v", files, err)
	}
}
