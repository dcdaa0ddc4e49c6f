package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

// The steps of searching whose memory is measured.
const (
	stepSearched = "pull by search"
	stepScan     = "search of all records"
	stepChart    = "a large chart"
)

// searching measures a pull by search into a mirror of its own, and reading it: a
// search that finds nothing, so that every record is looked at, and the largest
// chart.
func (b *bench) searching(ctx context.Context) error {
	s := newBench(b.e, b.o, b.exe, filepath.Join(b.dir, "searched"))
	s.input, s.url, s.lines, s.bytes = b.input, b.url, b.lines, b.bytes
	if _, err := s.child(ctx, "init", "--data", filepath.Join(s.dir, "m"), "--key-file", filepath.Join(s.dir, "s", "key"), "--reserve-mb", "64"); err != nil {
		return err
	}
	if _, err := s.child(ctx, "connect", "emr", "--base", b.url, "--local", "--level", "system", "--auth", "client-secret-basic",
		"--client-id", "demo", "--rate", "-1", "--mode", "search", "--in-flight", "4"); err != nil {
		return err
	}
	took, r, err := s.sync(ctx, stepSearched)
	if err != nil {
		return err
	}
	n := total(r).New
	rate := float64(n) / took.Seconds()
	b.row("pull by search, 4 requests in flight", "5000 resources/s", fmt.Sprintf("%.0f resources/s, %d in %.1f s, %s", rate, n, took.Seconds(), r.Verdict), rate >= 5000)
	if err := s.scanned(ctx, b); err != nil {
		return err
	}
	for _, step := range []string{stepSearched, stepScan, stepChart} {
		b.row("peak anonymous memory: "+step, "150 MB", fmt.Sprintf("%d MB", s.peaks[step]>>20), s.peaks[step] <= 150<<20 && s.peaks[step] > 0)
	}
	return s.clear("m", "s")
}

// scanned measures looking through every record, and the largest chart.
func (b *bench) scanned(ctx context.Context, to *bench) error {
	best := time.Duration(0)
	for range b.o.repeat {
		c, err := b.measure(ctx, stepScan, "search", "no such words anywhere")
		if err != nil {
			return err
		}
		if best == 0 || c.took < best {
			best = c.took
		}
	}
	speed := float64(b.bytes) / 1e6 / best.Seconds()
	to.row("search that looks at every record, whole command", "350 MB/s", fmt.Sprintf("%.0f MB/s", speed), speed >= 350)
	id, n, err := b.largest(ctx)
	if err != nil {
		return err
	}
	best = 0
	for range b.o.repeat {
		c, err := b.measure(ctx, stepChart, "chart", id, "--all")
		if err != nil {
			return err
		}
		if best == 0 || c.took < best {
			best = c.took
		}
	}
	// The bar is for 5,000 records.
	bar := 300 * time.Millisecond * time.Duration(max(n, 5000)) / 5000
	to.row(fmt.Sprintf("chart of %d records, whole command", n), strconv.Itoa(int(bar.Milliseconds()))+" ms", fmt.Sprintf("%d ms", best.Milliseconds()), best <= bar)
	return nil
}

// largest finds the patient with the most records.
func (b *bench) largest(ctx context.Context) (id string, n int, err error) {
	c, err := b.child(ctx, "patients", "--all")
	if err != nil {
		return "", 0, err
	}
	var list struct {
		Patients []struct {
			ID string `json:"id"`
		} `json:"patients"`
	}
	if err := json.Unmarshal(c.out, &list); err != nil {
		return "", 0, err
	}
	for i, p := range list.Patients {
		if i >= 60 {
			break
		}
		c, err := b.child(ctx, "chart", p.ID)
		if err != nil {
			return "", 0, err
		}
		var chart struct {
			Records int `json:"records"`
		}
		if err := json.Unmarshal(c.out, &chart); err == nil && chart.Records > n {
			id, n = p.ID, chart.Records
		}
	}
	return id, n, nil
}
