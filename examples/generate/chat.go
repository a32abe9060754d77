package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

// conversation is a chat with a model, in which each input line is a message. If the model
// has no chat template, it completes each line separately.
type conversation struct {
	*language
	g          *model.Generator
	request    model.Request // template for each answer, without Prompt
	out, errs  io.Writer     // out gets the answers, errs everything else
	sign       string        // printed before each input line
	dim        bool
	interrupts <-chan os.Signal // stop the answer in progress or, if there is none, the chat
	history    []chat.Message
}

// run answers the lines of in until it ends, an interrupt arrives or ctx is cancelled.
func (c *conversation) run(ctx context.Context, in io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan string)
	failed := make(chan error, 1)
	go func() {
		failed <- readLines(ctx, in, lines)
		close(lines)
	}()
	for {
		fmt.Fprint(c.errs, c.sign)
		select {
		case line, more := <-lines:
			if !more {
				if c.sign != "" {
					fmt.Fprintln(c.errs)
				}
				return <-failed
			}
			if strings.TrimSpace(line) == "" {
				continue
			}
			if err := c.answer(ctx, line); err != nil {
				return err
			}
		case <-c.interrupts:
			fmt.Fprintln(c.errs)
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// readLines sends the lines of in, without line breaks.
func readLines(ctx context.Context, in io.Reader, lines chan<- string) error {
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			select {
			case lines <- strings.TrimRight(line, "\r\n"):
			case <-ctx.Done():
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// answer generates and prints the answer to a message. A message whose answer has not begun
// is removed from the history.
func (c *conversation) answer(ctx context.Context, message string) error {
	c.history = append(c.history, chat.Message{Role: chat.User, Content: message})
	r := c.request
	var err error
	if r.Prompt, err = c.fit(); err != nil {
		c.history = c.history[:len(c.history)-1]
		fmt.Fprintf(c.errs, "generate: %v\n", err)
		return nil
	}
	r.MaxTokens = min(r.MaxTokens, c.g.MaxLen()-len(r.Prompt))
	w := c.writer(c.out, r.Prompt, r.Stop, c.dim)
	stoppable, done := c.stoppable(ctx)
	_, figures, err := printText(stoppable, c.g, r, w)
	done()
	if err != nil && (ctx.Err() != nil || !errors.Is(err, errStopped)) {
		return err
	}
	fmt.Fprintln(c.errs, figures)
	c.remember(w.text.String())
	return nil
}

// errStopped is the cause of a context that an interrupt cancelled.
var errStopped = errors.New("the answer was stopped")

// stoppable returns a context that an interrupt cancels. After the call of done interrupts
// have their usual effect again.
func (c *conversation) stoppable(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	go func() {
		select {
		case <-c.interrupts:
			cancel(errStopped)
		case <-over:
		}
	}()
	return ctx, func() {
		close(over)
		cancel(nil)
	}
}

// fit returns the prompt for the history. It drops the oldest messages until the context has
// room for an answer.
func (c *conversation) fit() ([]int32, error) {
	room := min(c.request.MaxTokens, c.g.MaxLen()/4)
	for forgotten := 0; ; forgotten += 2 {
		ids, err := c.encode(c.history)
		if err != nil {
			return nil, err
		}
		switch {
		case len(ids)+room <= c.g.MaxLen():
			if forgotten > 0 {
				fmt.Fprintf(c.errs, "generate: the context of %d tokens is full: the oldest %d messages were dropped\n",
					c.g.MaxLen(), forgotten)
			}
			return ids, within(ids, c.g.Model().Config)
		case len(c.history) < 3:
			return nil, fmt.Errorf("the message has %d tokens, too many for the context of %d and an answer of up to %d",
				len(ids), c.g.MaxLen(), room)
		}
		c.history = c.history[2:]
	}
}

// remember adds an answer to the history, without its thinking.
func (c *conversation) remember(text string) {
	if c.template == "" {
		c.history = nil
		return
	}
	m, _ := c.template.Parse(text, c.options) // an error is of a malformed tool call; the content is valid
	if m.Content == "" {
		c.history = c.history[:len(c.history)-1]
		return
	}
	c.history = append(c.history, chat.Message{Role: chat.Assistant, Content: m.Content})
}
