package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/verify"
)

// checks measures a full verify and a rebuild of the index, each in a process of
// its own.
func (b *bench) checks(ctx context.Context) error {
	var best verify.Result
	var rebuilt time.Duration
	for range b.o.repeat {
		c, err := b.measure(ctx, stepVerify, "verify")
		if err != nil {
			return err
		}
		var v verify.Result
		if err := json.Unmarshal(c.out, &v); err != nil {
			return err
		}
		if best.Took == 0 || v.Took < best.Took {
			best = v
		}
		c, err = b.measure(ctx, stepRebuild, "index", "rebuild")
		if err != nil {
			return err
		}
		if rebuilt == 0 || c.took < rebuilt {
			rebuilt = c.took
		}
	}
	speed := float64(best.Plain) / 1e6 / best.Took.Seconds()
	b.row("full verify, index compared", "700 MB/s", fmt.Sprintf("%.0f MB/s", speed), speed >= 700)
	rate := float64(best.Records) / rebuilt.Seconds()
	b.row("index rebuild", "150000 resources/s", fmt.Sprintf("%.0f resources/s", rate), rate >= 150_000)
	return nil
}

// reading measures one patient, in this process: the frame cache is in it.
func (b *bench) reading(ctx context.Context) error {
	e := &env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Getenv: b.e.Getenv, config: b.cfg}
	return e.withMirror(ctx, access{doing: "bench", write: true, key: true}, func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		sizes, err := m.TypeSizes()
		if err != nil {
			return err
		}
		b.big = sizes["ExplanationOfBenefit"]
		return b.onePatient(ctx, m)
	})
}

// onePatient reads the patient with about 500 resources, twice.
func (b *bench) onePatient(ctx context.Context, m *store.Mirror) error {
	snap, err := m.Now()
	if err != nil {
		return err
	}
	best, bestN := "", 0
	tried := 0
	err = snap.Each(ctx, "emr", "Patient", func(id string, _ []byte) error {
		if tried++; tried > 150 {
			return io.EOF
		}
		n := 0
		err := snap.Compartment(ctx, "emr", id, func(store.Version) error { n++; return nil })
		if best == "" || abs(n-500) < abs(bestN-500) {
			best, bestN = id, n
		}
		return err
	})
	if err != nil && err != io.EOF {
		return err
	}
	for _, warm := range []struct {
		name string
		bar  time.Duration
		cold bool
	}{{"one patient, warm disk", 150 * time.Millisecond, true}, {"one patient, from the frame cache", 50 * time.Millisecond, false}} {
		if warm.cold {
			m.DropCache()
		}
		runtime.GC()
		start := time.Now()
		if err := snap.Compartment(ctx, "emr", best, func(store.Version) error { return nil }); err != nil {
			return err
		}
		took := time.Since(start)
		b.row(warm.name, warm.bar.String(), fmt.Sprintf("%d ms, %d resources", took.Milliseconds(), bestN), took <= warm.bar)
	}
	return nil
}

func abs(n int) int { return max(n, -n) }

// sizes compares the archive with zstd -1 of the same bytes, and weighs the
// index.
func (b *bench) sizes(ctx context.Context) error {
	info, err := os.Stat(filepath.Join(b.dir, "m", "index.db"))
	if err != nil {
		return err
	}
	per := float64(info.Size()) / float64(b.lines)
	b.row("index after rebuild", "200 B a resource", fmt.Sprintf("%.0f B", per), per <= 200)
	size, err := folderSize(filepath.Join(b.dir, "m", "parts"))
	if err != nil {
		return err
	}
	const name, bar = "archive against zstd -1, but for EOB", "1.25"
	plain, err := b.zstd(ctx)
	if errors.Is(err, exec.ErrNotFound) {
		b.row(name, bar, fmt.Sprintf("not measured: no zstd here (%.1f MB)", float64(size)/1e6), false)
		return nil
	}
	if err != nil {
		return err
	}
	ratio := float64(size-b.big) / plain
	b.row(name, bar, fmt.Sprintf("%.2f (%.1f MB in all)", ratio, float64(size)/1e6), ratio <= 1.25)
	return nil
}

// zstd returns to how many bytes `zstd -1` brings the input in one stream.
func (b *bench) zstd(ctx context.Context) (float64, error) {
	if _, err := exec.LookPath("zstd"); err != nil {
		return 0, err
	}
	c := exec.CommandContext(ctx, "sh", "-c", "ls *.ndjson | grep -v ExplanationOfBenefit | xargs cat | zstd -1 -c | wc -c")
	c.Dir = b.input
	out, err := c.Output()
	if err != nil {
		return 0, fmt.Errorf("compress with zstd: %w", err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}
