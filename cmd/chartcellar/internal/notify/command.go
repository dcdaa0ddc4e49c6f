package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// A Command is a program that is run for each message. No shell is involved: nothing
// in a message can become a command.
type Command struct {
	// Argv is the program, with its full path, and its arguments.
	Argv []string
	// Env is its whole environment; the facts are added to it.
	Env []string
	// Timeout ends it; 0 is 30 s.
	Timeout time.Duration
}

// Check says what is wrong with the settings.
func (c Command) Check() error {
	if len(c.Argv) == 0 || !filepath.IsAbs(c.Argv[0]) {
		return errors.New(`the alert command needs the full path of a program, and each argument by itself: ["/usr/local/bin/alert", "office"]`)
	}
	return nil
}

// Name implements Channel.
func (c Command) Name() string {
	if len(c.Argv) == 0 {
		return "command"
	}
	return "command " + filepath.Base(c.Argv[0])
}

// A wire is a message as programs read it.
type wire struct {
	Practice string    `json:"practice,omitempty"`
	Kind     Kind      `json:"kind"`
	Source   string    `json:"source,omitempty"`
	Level    Level     `json:"level"`
	Phase    Phase     `json:"phase"`
	Subject  string    `json:"subject"`
	Text     Text      `json:"text"`
	Next     Text      `json:"next"`
	Since    time.Time `json:"since"`
	At       time.Time `json:"at"`
}

// Send implements Channel. The program gets the message as JSON at its standard input
// and its parts as CHARTCELLAR_KIND, _SOURCE, _LEVEL, _PHASE and _SUBJECT.
func (c Command) Send(ctx context.Context, m Message) error {
	if err := c.Check(); err != nil {
		return err
	}
	input, err := json.Marshal(wire{m.Practice.text, m.Kind, m.source(), m.Level, m.Phase, m.Subject(), m.Text, m.Next, m.Since, m.At})
	if err != nil {
		return fmt.Errorf("write the message for the alert command: %w", err)
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = 30 * time.Second
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(within, c.Argv[0], c.Argv[1:]...)
	cmd.Env = append([]string{}, c.Env...)
	for _, v := range [][2]string{{"KIND", string(m.Kind)}, {"SOURCE", m.source()}, {"LEVEL", m.Level.String()},
		{"PHASE", string(m.Phase)}, {"SUBJECT", m.Subject()}} {
		cmd.Env = append(cmd.Env, "CHARTCELLAR_"+v[0]+"="+oneLine(v[1], 200))
	}
	cmd.Stdin = bytes.NewReader(append(input, '\n'))
	out := &clip{limit: 4096}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second // a child that holds the output open is not waited for
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay) && within.Err() == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case within.Err() != nil:
		return fmt.Errorf("the alert command did not end within %s and was stopped", timeout)
	case errors.As(err, &exit) && out.b.Len() > 0:
		return fmt.Errorf("the alert command ended with %s: %s", exit, oneLine(out.b.String(), 300))
	case errors.As(err, &exit):
		return fmt.Errorf("the alert command ended with %s", exit)
	}
	return fmt.Errorf("the alert command could not be started: %w", err)
}

// A clip keeps the beginning of what is written to it and takes the rest.
type clip struct {
	limit int
	b     bytes.Buffer
}

// Write implements io.Writer.
func (c *clip) Write(p []byte) (int, error) {
	c.b.Write(p[:min(len(p), c.limit-c.b.Len())])
	return len(p), nil
}
