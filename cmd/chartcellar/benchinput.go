package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"chartcellar/fhirsync/fakeemr"
)

var (
	idMember = regexp.MustCompile(`"id":"([^"]+)"`)
	refs     = regexp.MustCompile(`"reference":"([A-Z][A-Za-z]+/)([^"/?#]+)"`)
)

// clone writes the input often enough, each copy with ids of its own.
func (b *bench) clone(context.Context) error {
	if err := os.MkdirAll(b.input, 0o700); err != nil {
		return err
	}
	data := b.o.data
	base, err := fakeemr.Start(fakeemr.Options{Folder: data, Practice: fakeemr.Practice{Patients: 400, Seed: 4}})
	if err != nil {
		return err
	}
	defer base.Close() // only its records are used
	now := time.Now()
	total := 0
	for _, t := range base.Types() {
		if err := base.EachAt(t, now, func(string, []byte) error { total++; return nil }); err != nil {
			return err
		}
	}
	copies := (b.o.resources + total - 1) / total
	for _, t := range base.Types() {
		if err := b.cloneType(base, t, copies, now); err != nil {
			return err
		}
	}
	b.note("input", fmt.Sprintf("%d resources, %.0f MB, %d copies", b.lines, float64(b.bytes)/1e6, copies))
	return nil
}

func (b *bench) cloneType(base *fakeemr.EMR, typ string, copies int, now time.Time) error {
	f, err := os.Create(filepath.Join(b.input, typ+".ndjson"))
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for n := range copies {
		end := fmt.Appendf(nil, "-%d", n)
		err := base.EachAt(typ, now, func(_ string, line []byte) error {
			if n > 0 {
				first := true
				line = idMember.ReplaceAllFunc(line, func(m []byte) []byte {
					if !first {
						return m
					}
					first = false
					return slices.Concat(m[:len(m)-1], end, []byte{'"'})
				})
				line = refs.ReplaceAll(line, slices.Concat([]byte(`"reference":"${1}${2}`), end, []byte{'"'}))
			}
			b.lines++
			b.bytes += int64(len(line)) + 1
			if _, err := w.Write(line); err != nil {
				return err
			}
			return w.WriteByte('\n')
		})
		if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// serve starts the EMR in a process of its own.
func (b *bench) serve(ctx context.Context) (stop func(), err error) {
	c := exec.CommandContext(ctx, b.exe, "fakeemr", "--plain", "--data", b.input, "--ca-dir", b.dir, "--secret", "bench")
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start the EMR in a box: %w", err)
	}
	stop = func() {
		c.Process.Kill()
		c.Wait() // it was killed
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "FHIR base"); ok {
			b.url = strings.TrimSpace(rest)
			go io.Copy(io.Discard, out) // so that it is never blocked
			return stop, nil
		}
	}
	stop()
	return nil, errors.New("the EMR in a box did not start")
}

// measureFloor downloads the files plainly: SHA-256, and a sync of each. The
// shortest time counts.
func (b *bench) measureFloor(ctx context.Context) error {
	urls, err := b.files(ctx)
	if err != nil {
		return err
	}
	took, err := b.download(urls)
	if err == nil && (b.floor == 0 || took < b.floor) {
		b.floor = took
	}
	return err
}

// fetch sends one request with the token of the bench.
func fetch(method, url, token string, header ...string) (*http.Response, error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return http.DefaultClient.Do(req)
}

type benchFile struct{ url, token string }

// files makes an export by hand and returns its files.
func (b *bench) files(ctx context.Context) ([]benchFile, error) {
	token, err := b.token()
	if err != nil {
		return nil, err
	}
	resp, err := fetch("GET", b.url+"/$export", token, "Prefer", "respond-async")
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	for ctx.Err() == nil {
		status, err := fetch("GET", resp.Header.Get("Content-Location"), token)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(status.Body)
		status.Body.Close()
		if err != nil {
			return nil, err
		}
		if status.StatusCode == http.StatusOK {
			var m struct{ Output []struct{ URL string } }
			err := json.Unmarshal(body, &m)
			var list []benchFile
			for _, o := range m.Output {
				list = append(list, benchFile{o.URL, token})
			}
			return list, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, ctx.Err()
}

func (b *bench) token() (string, error) {
	resp, err := fetch("GET", b.url+"/.well-known/smart-configuration", "")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var conf struct {
		Token string `json:"token_endpoint"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&conf); err != nil {
		return "", err
	}
	body := "grant_type=client_credentials&scope=system/*.rs&client_id=demo&client_secret=bench"
	reply, err := http.Post(conf.Token, "application/x-www-form-urlencoded", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	var t struct {
		Token string `json:"access_token"`
	}
	return t.Token, json.NewDecoder(reply.Body).Decode(&t)
}

// download fetches all files, two at a time.
func (b *bench) download(urls []benchFile) (time.Duration, error) {
	dir := filepath.Join(b.dir, "floor")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	defer b.clear("floor")
	start := time.Now()
	todo := make(chan benchFile)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			n := 0
			for f := range todo {
				n++
				errs[w] = errors.Join(errs[w], downloadOne(f, filepath.Join(dir, fmt.Sprintf("%d-%d", w, n))))
			}
		})
	}
	for _, u := range urls {
		todo <- u
	}
	close(todo)
	wg.Wait()
	return time.Since(start), errors.Join(errs...)
}

func downloadOne(file benchFile, name string) error {
	resp, err := fetch("GET", file.url, file.token)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(f, h), resp.Body, make([]byte, 256<<10))
	return errors.Join(err, f.Sync(), f.Close())
}
