package main

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// How large a page and all its scripts, packed, may be.
const mostPage, mostScripts = 60_000, 60_000

// TestPageSizes: every page of a practice that runs, and the scripts that it loads, come
// quickly over a poor line.
func TestPageSizes(t *testing.T) {
	t.Parallel()
	s, _ := settled(t)
	h := s.e.daemon.get().office.Load().front
	for _, path := range pagePaths(1) {
		if strings.HasSuffix(path, ".pdf") || strings.HasSuffix(path, ".json") {
			continue
		}
		if n := s.fetch(h, path); n > mostPage {
			t.Errorf("%s has %d bytes of HTML", path, n)
		}
	}
	c, body := s.get("/reports/" + time.Now().In(s.e.daemon.get().office.Load().zone()).Format("2006-01"))
	s.wants(c, body, http.StatusOK)
	_, body = s.get("/")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	scripts := regexp.MustCompile(`<script[^>]* src="([^"]+)"`).FindAllStringSubmatch(body, -1)
	for _, m := range scripts {
		c, script := s.get(m[1])
		s.wants(c, script, http.StatusOK)
		if _, err := z.Write([]byte(script)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if packed.Len() > mostScripts || len(scripts) == 0 {
		t.Errorf("%d scripts have %d bytes, packed", len(scripts), packed.Len())
	}
}

// TestPageSizesOverYears: lists of years of runs stay short pages.
func TestPageSizesOverYears(t *testing.T) {
	days, records := *pagesDays, *pagesRecords
	defer func() { *pagesDays, *pagesRecords = days, records }()
	*pagesDays, *pagesRecords = 150, 0
	dir := t.TempDir()
	decade(t, dir)
	s := serveIn(t, dir)
	s.entersAsOwner()
	for _, path := range pagePaths(*pagesDays) {
		if strings.HasSuffix(path, ".pdf") || strings.HasSuffix(path, ".json") {
			continue
		}
		if n := s.fetch(s.e.daemon.get().office.Load().front, path); n > mostPage {
			t.Errorf("%s has %d bytes of HTML", path, n)
		}
	}
}
