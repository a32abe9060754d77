// Command watch shows runs in a browser, live or when they have ended: curves of one or several
// runs in the same charts, completions with their rewards and advantages, the load of the
// experts, alarms and the preflight check.
//
//	go run ./examples/watch out/r1zero out/mine
//
// A run is a folder with metrics.jsonl, such as Trainer.Dir. The command looks for runs in the
// given folders, up to four levels deep. Folders may be created later. Nothing is written to them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: watch [-addr HOST:PORT] DIR…")
		flag.PrintDefaults()
	}
	addr := flag.String("addr", "127.0.0.1:7878", "address to listen on; with port 0 a free port is chosen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Stdout, *addr, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		os.Exit(1)
	}
}

// serve serves the page on addr until ctx is cancelled.
func serve(ctx context.Context, w io.Writer, addr string, dirs []string) error {
	folders, err := newFolders(dirs)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("-addr %s: %w", addr, err)
	}
	local := l.Addr().(*net.TCPAddr).IP.IsLoopback()
	s := &http.Server{Handler: newServer(folders, local), ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(w, "http://%s (Ctrl-C to stop)\n", l.Addr())
	if !local {
		fmt.Fprintln(w, "warning: everyone who can reach this address can read the runs")
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
