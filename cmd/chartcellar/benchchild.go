package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A childRun is a command that ran in a process of its own.
type childRun struct {
	out  []byte
	took time.Duration
	cpu  time.Duration // of all its threads
	peak int64         // anonymous memory in bytes; 0 where the system does not say
}

// child runs a command in a process of its own and samples its memory.
func (b *bench) child(ctx context.Context, args ...string) (r childRun, err error) {
	args = append([]string{b.exe, "--config", b.cfg, "--json"}, args...)
	if b.limit != "" { // the shell enters the group and becomes the command
		args = append([]string{"sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, b.limit}, args...)
	}
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Env = append(os.Environ(), "CHARTCELLAR_CLIENT_SECRET=bench")
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	start := time.Now()
	if err := c.Start(); err != nil {
		return r, err
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	for {
		select {
		case err = <-done:
			r.out, r.took, r.cpu = []byte(out.String()), time.Since(start), c.ProcessState.UserTime()+c.ProcessState.SystemTime()
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == exitGaps {
				err = nil // documents that the input names and nobody has
			}
			if err != nil {
				err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, errs.String())
			}
			return r, err
		case <-time.After(5 * time.Millisecond):
			r.peak = max(r.peak, anonymous(c.Process.Pid))
		}
	}
}

// measure is child for a step whose memory is compared with the bar.
func (b *bench) measure(ctx context.Context, step string, args ...string) (childRun, error) {
	r, err := b.child(ctx, args...)
	if b.limit == "" {
		b.peaks[step] = max(b.peaks[step], r.peak)
	}
	return r, err
}

// anonymous returns the anonymous memory of a process in bytes; 0 where the
// system does not say.
func anonymous(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64) // kernel text
			return n << 10
		}
	}
	return 0
}

// The steps whose memory is measured.
const (
	stepFirst   = "first pull"
	stepFull    = "full pull"
	stepVerify  = "verify"
	stepRebuild = "rebuild"
)

var benchSteps = []string{stepFirst, stepFull, stepVerify, stepRebuild}

// memory compares the peaks with the bar.
func (b *bench) memory(context.Context) error {
	const bar = 150 << 20
	for _, s := range benchSteps {
		name := "peak anonymous memory: " + s
		if b.peaks[s] == 0 {
			b.row(name, "150 MB", "not measured: this system does not say", false)
			continue
		}
		b.row(name, "150 MB", fmt.Sprintf("%d MB", b.peaks[s]>>20), b.peaks[s] <= bar)
	}
	return nil
}
