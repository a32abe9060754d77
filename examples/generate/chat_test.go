package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

func TestChatRemembers(t *testing.T) {
	dir := speaker(t)
	for in, want := range map[string]string{
		"Hi\nAnd?\n":    hello + "\nBye\n",
		"Hi\n\n \nAnd?": hello + "\nBye\n", // empty lines are ignored
		"And?\r\n":      "<think>what</think>What?\n",
		"":              "",
	} {
		out, errs, code := say(t, in, "-model", dir)
		if n := strings.Count(want, "\n"); code != 0 || out != want || strings.Count(errs, "tokens/s") != n {
			t.Errorf("%q: exit code %d, %q, want %q: %s", in, code, out, want, errs)
		}
	}
}

// For the second answer the model reads only tokens that are not cached. The first answer's last token is not cached,
// since it was sampled but never fed to the model.
func TestChatReadsWhatIsNewAlone(t *testing.T) {
	dir := speaker(t)
	l, err := readLanguage(dir, options{})
	must(t, err)
	first, err := l.encode(messages([]string{"Hi"}))
	must(t, err)
	all, err := l.encode(messages([]string{"Hi", hello, "And?"}))
	must(t, err)
	_, errs, code := say(t, "Hi\nAnd?\n", "-model", dir)
	want := fmt.Sprintf("stopped: %d prompt tokens, %d of them cached, in", len(all), len(first)+len(hello))
	if code != 0 || !strings.Contains(errs, want) {
		t.Errorf("exit code %d: %s, want %s", code, errs, want)
	}
}

// -system sets the system message; it needs a chat template.
func TestSystemMessage(t *testing.T) {
	dir := speaker(t)
	tok := bytesWith(t)
	out, errs, code := generate(t, "-model", dir, "-system", "Be brief.", "-prompt", "Hi", "-tokenize")
	text, err := chat.SmolLM2.Render([]chat.Message{{Role: chat.System, Content: "Be brief."},
		{Role: chat.User, Content: "Hi"}}, chat.Options{Generate: true})
	must(t, err)
	want, err := tok.Append(nil, text)
	must(t, err)
	if code != 0 || out != spaced(want)+"\n" {
		t.Errorf("exit code %d, %s, want %v: %s", code, out, want, errs)
	}
	for _, args := range [][]string{{"-raw", "-prompt", "x"}, {"-prompt-ids", "1"}} {
		_, errs, code := generate(t, append(args, "-model", dir, "-system", "x")...)
		if code != 1 || !strings.Contains(errs, "-system") {
			t.Errorf("%v: exit code %d: %s", args, code, errs)
		}
	}
}

// A message that is too long is an error, and the chat continues.
func TestChatGoesOnAfterALongMessage(t *testing.T) {
	out, errs, code := say(t, strings.Repeat("x", 500)+"\nHi\n", "-model", speaker(t))
	if code != 0 || out != hello+"\n" || !strings.Contains(errs, "too many for the context of 400") {
		t.Errorf("exit code %d, %q: %s", code, out, errs)
	}
}

// Without a chat template each line is completed separately.
func TestLinesAreCompletedRaw(t *testing.T) {
	rendered := "<|im_start|>user"
	dir := speaker(t)
	one, _, _ := generate(t, "-model", dir, "-raw", "-prompt", rendered, "-max-tokens", "9")
	out, errs, code := say(t, rendered+"\n"+rendered+"\n", "-model", dir, "-raw", "-max-tokens", "9")
	if code != 0 || out != one+one || one == "" {
		t.Errorf("exit code %d, %q, want twice %q: %s", code, out, one, errs)
	}
}

// talk returns a conversation with the model of speaker, in this process.
func talk(t *testing.T, out, errs io.Writer) *conversation {
	t.Helper()
	dir := speaker(t)
	l, err := readLanguage(dir, options{})
	must(t, err)
	return &conversation{language: l, g: open(t, dir), out: out, errs: errs,
		request: model.Request{MaxTokens: 100, Stop: l.stop([]int32{}), Sampling: model.Sampling{Greedy: true}}}
}

func TestOldestMessagesAreForgotten(t *testing.T) {
	var errs strings.Builder
	c := talk(t, io.Discard, &errs)
	for range 4 {
		c.history = append(c.history, messages([]string{strings.Repeat("x", 30), strings.Repeat("y", 30)})...)
	}
	c.history = append(c.history, chat.Message{Role: chat.User, Content: "And?"})
	ids, err := c.fit()
	if err != nil || len(ids) > 300 || len(c.history) != 5 ||
		!strings.Contains(errs.String(), "the context of 400 tokens is full: the oldest 4 messages were dropped") {
		t.Errorf("%d ids of %d messages, error %v: %s", len(ids), len(c.history), err, errs.String())
	}
}

// stopper is a slow writer that sends an interrupt at the first text.
type stopper struct {
	interrupts chan<- os.Signal
	sent       bool
}

func (s *stopper) Write(text []byte) (int, error) {
	if !s.sent && len(text) > 0 {
		s.sent = true
		s.interrupts <- os.Interrupt
	}
	time.Sleep(time.Millisecond)
	return len(text), nil
}

// The first interrupt stops the answer, and the chat continues; the next one ends the chat.
func TestInterruptStopsTheAnswerAlone(t *testing.T) {
	interrupts := make(chan os.Signal)
	var errs strings.Builder
	c := talk(t, &stopper{interrupts: interrupts}, &errs)
	c.request.Stop, c.request.MaxTokens = []int32{}, 300 // no token ends the answer
	c.interrupts = interrupts
	in, lines := io.Pipe()
	ended := make(chan error)
	go func() { ended <- c.run(t.Context(), in) }()
	for _, line := range []string{"Hi\n", "\n", "\n"} { // the last line is read once the answer has ended
		_, err := io.WriteString(lines, line)
		must(t, err)
	}
	interrupts <- os.Interrupt
	must(t, <-ended)
	if n := strings.Count(errs.String(), "interrupted: "); n != 1 || len(c.history) != 2 {
		t.Errorf("%d messages, %s", len(c.history), errs.String())
	}
}

func TestCancelledContextEndsTheChat(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("because")
	time.AfterFunc(10*time.Millisecond, func() { cancel(cause) })
	in, lines := io.Pipe()
	defer lines.Close()
	if err := talk(t, io.Discard, io.Discard).run(ctx, in); !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
}
