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
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store"
	"chartcellar/store/verify"
)

func benchCommand(e *env) *cobra.Command {
	var o benchOptions
	c := command("bench", "Measure this computer: a table of bars, figures and whether they are met",
		`bench clones a practice with new ids to the number of resources given, serves it from
an EMR in a box in a process of its own, and measures pulls, verify, rebuild and
reading. The floor is a plain download of the same files with SHA-256 and a sync, in
the same run. It exits with 12 if a bar is missed.`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return e.bench(ctx, o) })
	c.Flags().StringVar(&o.data, "data", "", "folder of NDJSON files to clone (default: an invented practice)")
	c.Flags().IntVar(&o.resources, "resources", 235_000, "at least so many resources")
	c.Flags().StringVar(&o.dir, "dir", "", "where to work (default: the folder for temporary files)")
	c.Flags().BoolVar(&o.keep, "keep", false, "leave the files behind")
	return c
}

type benchOptions struct {
	data, dir string
	resources int
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
	url   string
	rows  []benchRow
	floor time.Duration
	big   int64 // compressed bytes of ExplanationOfBenefit
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
	dir, err := os.MkdirTemp(o.dir, "chartcellar-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for the bench: %w", err)
	}
	b := &bench{e: e, o: o, dir: dir, input: filepath.Join(dir, "input"), cfg: filepath.Join(dir, "s", "settings.toml")}
	err = b.all(ctx)
	if o.keep {
		b.e.printf("The files are in %s\n", dir)
	} else {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return err
	}
	return b.print()
}

func (b *bench) all(ctx context.Context) error {
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
	for _, step := range []func(context.Context) error{b.measureFloor, b.pulls, b.reading, b.sizes} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) print() error {
	met := true
	for _, r := range b.rows {
		met = met && (r.Met == nil || *r.Met)
	}
	if b.e.json {
		if err := b.e.printJSON(b.rows); err != nil {
			return err
		}
	} else {
		b.e.printf("%-44s %-26s %-34s %s\n", "", "bar", "figure", "met")
		for _, r := range b.rows {
			word := ""
			if r.Met != nil {
				word = map[bool]string{true: "yes", false: "NO"}[*r.Met]
			}
			b.e.printf("%-44s %-26s %-34s %s\n", r.Name, r.Bar, r.Figure, word)
		}
	}
	if !met {
		return quiet(exitFailed)
	}
	return nil
}

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
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, self, "fakeemr", "--plain", "--data", b.input, "--ca-dir", b.dir, "--secret", "bench")
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

// measureFloor downloads the files plainly: SHA-256, and a sync of each.
func (b *bench) measureFloor(ctx context.Context) error {
	urls, err := b.files(ctx)
	if err != nil {
		return err
	}
	best := time.Duration(0)
	for range 2 {
		took, err := b.download(urls)
		if err != nil {
			return err
		}
		if best == 0 || took < best {
			best = took
		}
	}
	b.floor = best
	b.note("floor: download, SHA-256, sync", fmt.Sprintf("%.2f s, %.0f MB/s", best.Seconds(), float64(b.bytes)/1e6/best.Seconds()))
	return nil
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
	defer os.RemoveAll(dir) // inside the bench's own folder
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

// child runs a command in a process of its own and samples its memory.
func (b *bench) child(ctx context.Context, args ...string) (out []byte, took time.Duration, peak int64, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, 0, 0, err
	}
	c := exec.CommandContext(ctx, self, append([]string{"--config", b.cfg, "--json"}, args...)...)
	c.Env = append(os.Environ(), "CHARTCELLAR_CLIENT_SECRET=bench")
	var buf strings.Builder
	var errs strings.Builder
	c.Stdout, c.Stderr = &buf, &errs
	start := time.Now()
	if err := c.Start(); err != nil {
		return nil, 0, 0, err
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	for {
		select {
		case err = <-done:
			if err != nil {
				err = fmt.Errorf("%s: %w: %s", args[0], err, errs.String())
			}
			return []byte(buf.String()), time.Since(start), peak, err
		case <-time.After(10 * time.Millisecond):
			peak = max(peak, anonymous(c.Process.Pid))
		}
	}
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

// pulls measures the first pull, a full one that finds nothing, and a quiet one.
func (b *bench) pulls(ctx context.Context) error {
	if _, _, _, err := b.child(ctx, "init", "--data", filepath.Join(b.dir, "m"), "--key-file", filepath.Join(b.dir, "s", "key"), "--reserve-mb", "64"); err != nil {
		return err
	}
	if _, _, _, err := b.child(ctx, "connect", "emr", "--base", b.url, "--local", "--level", "system", "--auth", "client-secret-basic",
		"--client-id", "demo", "--rate", "-1"); err != nil {
		return err
	}
	_, first, peak, err := b.child(ctx, "sync")
	if err != nil {
		return err
	}
	share := 100 * b.floor.Seconds() / (first.Seconds() - pollWait.Seconds())
	b.row("first pull, kick-off to durable and indexed", "35 % of the floor", fmt.Sprintf("%.0f %% (%.2f s, %.0f MB/s)", share,
		first.Seconds()-pollWait.Seconds(), float64(b.bytes)/1e6/(first.Seconds()-pollWait.Seconds())), share >= 35)
	if peak > 0 {
		b.row("peak anonymous memory of the first pull", "150 MB", fmt.Sprintf("%d MB", peak>>20), peak <= 150<<20)
	}
	before, err := folderSize(filepath.Join(b.dir, "m", "parts"))
	if err != nil {
		return err
	}
	_, again, _, err := b.child(ctx, "sync", "--full")
	if err != nil {
		return err
	}
	after, err := folderSize(filepath.Join(b.dir, "m", "parts"))
	if err != nil {
		return err
	}
	again -= pollWait // it makes two exports
	b.row("full pull that finds nothing new", "not slower than the first", fmt.Sprintf("%.2f s", (again-pollWait).Seconds()), again-pollWait <= first-pollWait)
	b.row("bytes it adds to the archive", "no record", fmt.Sprintf("%d (its own notes)", after-before), after-before < 64<<10)
	out, quietRun, _, err := b.child(ctx, "sync")
	if err != nil {
		return err
	}
	var r fhirsync.Report
	if err := json.Unmarshal(out, &r); err != nil {
		return err
	}
	b.row("quiet incremental run, our own time", "2 s", fmt.Sprintf("%.2f s, %d lines", (quietRun-pollWait).Seconds(), total(r).Lines), quietRun-pollWait < 2*time.Second)
	return nil
}

// pollWait is what the EMR in a box asks to be waited for an export.
const pollWait = time.Second

// reading measures verify, rebuild and one patient, in this process.
func (b *bench) reading(ctx context.Context) error {
	e := &env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Getenv: b.e.Getenv, config: b.cfg}
	return e.withMirror(ctx, access{doing: "bench", write: true, key: true}, func(ctx context.Context, _ config.Settings, m *store.Mirror) error {
		var stream time.Duration
		start := time.Now()
		v, err := verify.Run(ctx, m, verify.Options{Depth: verify.Full, Events: func(part, parts int, _ int64) {
			if part == parts {
				stream = time.Since(start)
			}
		}})
		if err != nil || !v.Good() {
			return errors.Join(err, fmt.Errorf("verify found %d faults", len(v.Damage)))
		}
		speed := float64(v.Plain) / 1e6 / v.Took.Seconds()
		b.row("full verify, index rebuilt and compared", "700 MB/s", fmt.Sprintf("%.0f MB/s (every byte: %.0f MB/s)", speed,
			float64(v.Plain)/1e6/stream.Seconds()), speed >= 700)
		start = time.Now()
		if err := m.RebuildIndex(ctx); err != nil {
			return err
		}
		rate := float64(v.Records) / time.Since(start).Seconds()
		b.row("index rebuild", "150000 resources/s", fmt.Sprintf("%.0f resources/s", rate), rate >= 150_000)
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
func (b *bench) sizes(context.Context) error {
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
	if _, err := exec.LookPath("zstd"); err != nil {
		b.note("archive", fmt.Sprintf("%.1f MB (no zstd here to compare with)", float64(size)/1e6))
		return nil
	}
	out, err := exec.Command("sh", "-c", "cd "+b.input+" && ls *.ndjson | grep -v ExplanationOfBenefit | xargs cat | zstd -1 -c | wc -c").Output()
	if err != nil {
		return err
	}
	plain, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		return err
	}
	ratio := float64(size-b.big) / plain
	b.row("archive against zstd -1, but for EOB", "1.25", fmt.Sprintf("%.2f (%.1f MB in all)", ratio, float64(size)/1e6), ratio <= 1.25)
	return nil
}
