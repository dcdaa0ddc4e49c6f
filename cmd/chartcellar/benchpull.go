package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"chartcellar/fhirsync"
)

// freshMirror makes an empty mirror in the place of the one before.
func (b *bench) freshMirror(ctx context.Context) error {
	if err := b.clear("m", "s"); err != nil {
		return err
	}
	_, err := b.child(ctx, "init", "--data", filepath.Join(b.dir, "m"), "--key-file", filepath.Join(b.dir, "s", "key"), "--reserve-mb", "64")
	if err != nil {
		return err
	}
	_, err = b.child(ctx, "connect", "emr", "--base", b.url, "--local", "--level", "system", "--auth", "client-secret-basic",
		"--client-id", "demo", "--rate", "-1")
	return err
}

// sync runs a pull and returns how long it took without its waiting for exports
// that were not ready.
func (b *bench) sync(ctx context.Context, step string, args ...string) (time.Duration, fhirsync.Report, error) {
	var r fhirsync.Report
	c, err := b.measure(ctx, step, append([]string{"sync"}, args...)...)
	if err != nil {
		return 0, r, err
	}
	err = json.Unmarshal(c.out, &r)
	return c.took - r.Waited, r, err
}

// firstPulls measures the floor and a first pull in turn.
func (b *bench) firstPulls(ctx context.Context) error {
	best := time.Duration(0)
	for range b.o.repeat {
		if err := b.measureFloor(ctx); err != nil {
			return err
		}
		if err := b.freshMirror(ctx); err != nil {
			return err
		}
		took, r, err := b.sync(ctx, stepFirst)
		if err != nil {
			return err
		}
		if n := total(r).New; n == 0 {
			return fmt.Errorf("the first pull brought nothing")
		}
		if best == 0 || took < best {
			best = took
		}
	}
	mb := float64(b.bytes) / 1e6
	b.note("floor: download, SHA-256, sync", fmt.Sprintf("%.2f s, %.0f MB/s", b.floor.Seconds(), mb/b.floor.Seconds()))
	share := 100 * b.floor.Seconds() / best.Seconds()
	b.row("first pull, kick-off to durable and indexed", "35 % of the floor",
		fmt.Sprintf("%.0f %% (%.2f s, %.0f MB/s)", share, best.Seconds(), mb/best.Seconds()), share >= 35)
	b.first = best
	return nil
}

// laterPulls measures a full pull that finds nothing new, and a quiet one.
func (b *bench) laterPulls(ctx context.Context) error {
	parts := filepath.Join(b.dir, "m", "parts")
	before, err := folderSize(parts)
	if err != nil {
		return err
	}
	full, _, err := b.sync(ctx, stepFull, "--full")
	if err != nil {
		return err
	}
	after, err := folderSize(parts)
	if err != nil {
		return err
	}
	b.row("full pull that finds nothing new", "not slower than the first", fmt.Sprintf("%.2f s", full.Seconds()), full <= b.first)
	b.row("bytes it adds to the archive", "no record", fmt.Sprintf("%d (its own notes)", after-before), after-before < 64<<10)
	best, lines := time.Duration(0), 0
	for range b.o.repeat {
		took, r, err := b.sync(ctx, "quiet pull")
		if err != nil {
			return err
		}
		if best == 0 || took < best {
			best, lines = took, total(r).Lines
		}
	}
	b.row(fmt.Sprintf("quiet incremental run on %d resources", b.lines), "2 s of our own time",
		fmt.Sprintf("%.2f s, %d lines", best.Seconds(), lines), best < 2*time.Second)
	return nil
}
