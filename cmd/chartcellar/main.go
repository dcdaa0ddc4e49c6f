// Command chartcellar keeps a practice's own copy of the records that are in
// its hosted EMR: it pulls them over FHIR, keeps them sealed and verified in the
// office, and opens them without the vendor.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"chartcellar/store/disk"
)

func main() { os.Exit(start(func(*env) {})) }

// memoryLimit is a soft limit: the collector works harder before a long line or a swollen
// file takes half of a small box. With lookedMemory, while somebody looks at charts, the
// patients of a large practice fit beside that.
const (
	memoryLimit  = 128 << 20
	lookedMemory = 224 << 20
)

// How much may be taken before memory is collected, in percent of what is in use. With
// lookedGC a large chart is not broken into by the collector; the soft limit still holds.
const (
	usualGC  = 100
	lookedGC = 300
)

// limitMemory sets the soft limit of a program of its own, and how often it collects,
// unless who started it has set them.
func (e *env) limitMemory(bytes int64, percent int) {
	if e.apart && e.Getenv("GOMEMLIMIT") == "" && e.Getenv("GOGC") == "" {
		debug.SetMemoryLimit(bytes)
		debug.SetGCPercent(percent)
	}
}

// start runs the program; a test changes its surroundings before: it puts a disk there on
// which the process dies, and takes away what costs time.
func start(change func(*env)) int {
	args := os.Args[1:]
	if own, err := os.Executable(); err == nil {
		args = onCopy(own, args)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return asService(ctx, func(ctx context.Context) int {
		e := &env{
			Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
			Terminal: isTerminal(os.Stdout), AskTerminal: isTerminal(os.Stdin), apart: true,
		}
		change(e)
		e.limitMemory(memoryLimit, usualGC)
		return run(ctx, e, args)
	})
}

// onCopy turns a start without a word into a look, if this program lies on a second copy:
// whoever found the disk opens it with a double click.
func onCopy(own string, args []string) []string {
	programs := filepath.Dir(filepath.Dir(own))
	root := filepath.Dir(programs)
	if there, err := disk.Exists(disk.OS{}, filepath.Join(root, readMeName)); len(args) > 0 || err != nil || !there || filepath.Base(programs) != programFolder {
		return args
	}
	return []string{"serve", "--read-only", root}
}
