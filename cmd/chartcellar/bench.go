package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func benchCommand(e *env) *cobra.Command {
	var o benchOptions
	c := command("bench", "Measure this computer: a table of bars, figures and whether they are met",
		`bench clones a practice with new ids to the number of resources given, serves it from
an EMR in a box in a process of its own, and measures pulls, verify, rebuild and
reading. The floor is a plain download of the same files with SHA-256 and a sync, in
the same run. What can be measured more than once is, and the best counts, of the
floor too. Each command runs in a process of its own, whose anonymous memory is
sampled.

With --growth 4 everything is done again with four times as many resources, to see
whether memory grows with them. Where there is a memory controller that may be
written (cgroup, as root), a first pull, verify and rebuild of each size also run
within 300 MB. What is left out is said, and counts as missed.

It exits with 12 if a bar is missed.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.bench(ctx, o) })
	c.Flags().StringVar(&o.data, "data", "", "folder of NDJSON files to clone (default: an invented practice)")
	c.Flags().IntVar(&o.resources, "resources", 235_000, "at least so many resources")
	c.Flags().StringVar(&o.dir, "dir", "", "where to work (default: the folder for temporary files)")
	c.Flags().IntVar(&o.repeat, "repeat", 3, "how often to measure what can be repeated")
	c.Flags().IntVar(&o.growth, "growth", 0, "measure memory again with so many times the resources")
	c.Flags().BoolVar(&o.keep, "keep", false, "leave the files behind")
	return c
}

type benchOptions struct {
	data, dir string
	resources int
	repeat    int
	growth    int
	keep      bool
}

// A bench is one measurement. Figures are in its table, in the order in which
// they were taken.
type bench struct {
	e     *env
	o     benchOptions
	dir   string
	input string // folder of the cloned files
	lines int
	bytes int64
	cfg   string
	exe   string // the program that is measured
	url   string
	limit string // folder of the cgroup that children run in; "": none
	rows  []benchRow
	floor time.Duration
	first time.Duration
	big   int64            // compressed bytes of ExplanationOfBenefit
	peaks map[string]int64 // anonymous memory, by what was done
}

// A benchRow is one bar. Met is nil where there is only a figure.
type benchRow struct {
	Name   string `json:"name"`
	Bar    string `json:"bar"`
	Figure string `json:"figure"`
	Met    *bool  `json:"met,omitempty"`
}

func (b *bench) row(name, bar, figure string, met bool) {
	b.rows = append(b.rows, benchRow{name, bar, figure, &met})
}

func (b *bench) note(name, figure string) {
	b.rows = append(b.rows, benchRow{name, "", figure, nil})
}

func (e *env) bench(ctx context.Context, o benchOptions) error {
	if o.repeat < 1 || o.resources < 1 || o.growth < 0 || o.growth == 1 {
		return usage("--repeat and --resources must be at least 1, --growth 0 or at least 2")
	}
	dir, err := os.MkdirTemp(o.dir, "chartcellar-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for the bench: %w", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program itself: %w", err)
	}
	b := newBench(e, o, exe, filepath.Join(dir, "1"))
	err = b.all(ctx)
	if err == nil && o.growth > 0 {
		large := o
		large.resources *= o.growth
		err = b.grow(ctx, newBench(e, large, exe, filepath.Join(dir, "2")))
	}
	if o.keep {
		e.printf("The files are in %s\n", dir)
	} else {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return err
	}
	return b.print()
}

func newBench(e *env, o benchOptions, exe, dir string) *bench {
	return &bench{e: e, o: o, exe: exe, dir: dir, input: filepath.Join(dir, "input"),
		cfg: filepath.Join(dir, "s", "settings.toml"), peaks: map[string]int64{}}
}

// clear removes folders of the bench's own.
func (b *bench) clear(names ...string) error {
	for _, n := range names {
		if err := os.RemoveAll(filepath.Join(b.dir, n)); err != nil {
			return err
		}
	}
	return nil
}

// all takes every measurement.
func (b *bench) all(ctx context.Context) error {
	return b.serving(ctx, func(ctx context.Context) error {
		for _, step := range []func(context.Context) error{b.firstPulls, b.laterPulls, b.checks,
			b.reading, b.sizes, b.memory, b.searching} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return b.limited(ctx)
	})
}

// grow takes the measurements of memory with a larger input and compares.
func (b *bench) grow(ctx context.Context, large *bench) error {
	large.o.repeat = 1
	err := large.serving(ctx, func(ctx context.Context) error {
		for _, step := range []func(context.Context) error{large.firstPulls, large.laterPulls, large.checks} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		large.rows = nil
		return large.limited(ctx)
	})
	if err != nil {
		return err
	}
	for _, name := range benchSteps {
		was, is := b.peaks[name], large.peaks[name]
		if was == 0 || is == 0 {
			b.row("memory growth: "+name, "10 %", "not measured: this system does not say", false)
			continue
		}
		growth := 100 * (float64(is)/float64(was) - 1)
		b.row(fmt.Sprintf("memory growth at %d times: %s", b.o.growth, name), "10 %",
			fmt.Sprintf("%.0f %% (%d to %d MB)", growth, was>>20, is>>20), growth <= 10)
	}
	for _, r := range large.rows {
		r.Name = fmt.Sprintf("%s, %d resources", r.Name, large.lines)
		b.rows = append(b.rows, r)
	}
	return nil
}

// serving clones the input and runs fn while an EMR serves it.
func (b *bench) serving(ctx context.Context, fn func(context.Context) error) error {
	if err := b.clone(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	return fn(ctx)
}

func (b *bench) print() error {
	met := !slices.ContainsFunc(b.rows, func(r benchRow) bool { return r.Met != nil && !*r.Met })
	if b.e.json {
		if err := b.e.printJSON(b.rows); err != nil {
			return err
		}
	} else {
		b.e.printf("%-46s %-24s %-36s %s\n", "", "bar", "figure", "met")
		for _, r := range b.rows {
			word := ""
			if r.Met != nil {
				word = map[bool]string{true: "yes", false: "NO"}[*r.Met]
			}
			b.e.printf("%-46s %-24s %-36s %s\n", r.Name, r.Bar, r.Figure, word)
		}
	}
	if !met {
		return quiet(exitFailed)
	}
	return nil
}

// limited runs a first pull, verify and rebuild within 300 MB of memory.
func (b *bench) limited(ctx context.Context) error {
	const name, bar = "first pull, verify, rebuild within 300 MB", "done"
	dir, err := limitGroup(300 << 20)
	if err != nil {
		b.row(name, bar, "left out: "+err.Error(), false)
		return nil
	}
	defer os.Remove(dir) // it is empty: the children have ended
	b.limit = dir
	defer func() { b.limit = "" }()
	if err := b.freshMirror(ctx); err != nil {
		return err
	}
	for _, args := range [][]string{{"sync"}, {"verify"}, {"index", "rebuild"}} {
		if _, err := b.child(ctx, args...); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.row(name, bar, args[0]+" did not end well", false)
			return nil
		}
	}
	b.row(name, bar, "done", true)
	return nil
}

// limitGroup makes a cgroup with a memory limit: of version 2 where its memory
// controller may be used, else of version 1.
func limitGroup(bytes int) (dir string, err error) {
	const root = "/sys/fs/cgroup"
	name := fmt.Sprintf("chartcellar-bench-%d", os.Getpid())
	for _, v := range []struct{ dir, file string }{
		{filepath.Join(root, name), "memory.max"},
		{filepath.Join(root, "memory", name), "memory.limit_in_bytes"},
	} {
		if os.Mkdir(v.dir, 0o700) != nil {
			continue
		}
		limit := filepath.Join(v.dir, v.file)
		_, err := os.Stat(limit)
		if err == nil {
			err = os.WriteFile(limit, []byte(strconv.Itoa(bytes)), 0o600)
		}
		if err == nil {
			return v.dir, nil
		}
		if rerr := os.Remove(v.dir); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			return "", rerr
		}
	}
	return "", errors.New("no memory controller may be written")
}
