package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/holding"
)

// holdingFilesInside is how many files the EHI export of a test has; P147 says 20,000.
var holdingFilesInside = flag.Int("holding.files", 2000, "how many files the EHI export of a test has")

// exportZip makes a zip file of n files that do not compress.
func exportZip(t testing.TB, name string, n int) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for i := range n {
		w, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("patients/%05d/table.csv", i), Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, strings.Repeat(fmt.Sprintf("row,%d\n", i), 400)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestEHIExport is P147: an export of many files is filed, its names are listed and
// searched, it is hashed again by verify; one byte of it is altered, and reported.
func TestEHIExport(t *testing.T) {
	i := newDaemonTest(t, "--gap-days", "7")
	export := filepath.Join(i.dir, "ehi.zip")
	exportZip(t, export, *holdingFilesInside)
	i.run("holding", "add", "ehi", export, "--covers", "billing")
	var listed struct{ Files []holdingFile }
	if err := json.Unmarshal([]byte(i.run("--json", "holding", "files", "ehi")), &listed); err != nil || len(listed.Files) != *holdingFilesInside+1 {
		t.Fatalf("%d files are listed, %v", len(listed.Files), err)
	}
	if out := i.run("holding", "files", "ehi", "--search", "01234 table"); strings.Count(out, "patients/") != 1 {
		t.Errorf("searched: %s", out)
	}
	i.run("verify")
	kept, err := filepath.Glob(filepath.Join(i.dir, "m", "holdings", "*", "*.age"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("files: %v, %v", kept, err)
	}
	whole, err := os.ReadFile(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{len(whole) / 3, len(whole) - 100} { // the second in the list of names
		b := bytes.Clone(whole)
		b[at] ^= 0x10
		if err := os.WriteFile(kept[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		i.out.Reset()
		if code := run(t.Context(), i.env(), []string{"verify"}); code != exitDamage || !strings.Contains(i.out.String(), filepath.Base(kept[0])) {
			t.Errorf("byte %d altered: exit %d\n%s", at, code, i.out)
		}
	}
	i.out.Reset()
	if code := run(t.Context(), i.env(), []string{"holding", "files", "ehi"}); code != exitDamage || !strings.Contains(i.out.String(), "its stored bytes are damaged") {
		t.Errorf("the list of a damaged file: exit %d\n%s", code, i.out)
	}
}

// TestHoldingIsWatched: serve looks at the folder; what grows is looked at again soon,
// what has settled is kept, and a folder that is gone is told in a doctor's words, and
// that it is back.
func TestHoldingIsWatched(t *testing.T) {
	i := newDaemonTest(t, "--gap-days", "7")
	dumps := filepath.Join(i.dir, "dumps")
	if err := os.Mkdir(dumps, 0o700); err != nil {
		t.Fatal(err)
	}
	i.run("connect", "dumps", "--files", dumps, "--expected", "daily")
	now := time.Now()
	i.e.clock = func() time.Time { return now }
	i.serving(func(ctx context.Context) {
		job := schedule.Job{Source: "dumps", Kind: schedule.Holding}
		look := func(want int) schedule.Outcome {
			t.Helper()
			out := i.d.do(ctx, schedule.Start{Job: job})
			if list, err := i.d.m.KeptFiles("dumps"); err != nil || len(list) != want {
				t.Errorf("%d files are kept, %v; want %d", len(list), err, want)
			}
			return out
		}
		if out := look(0); !out.Success || !out.Again.IsZero() {
			t.Errorf("an empty folder: %+v", out)
		}
		write(t, filepath.Join(dumps, "night.sql"), "INSERT")
		if out := look(0); !out.Success || out.Again.IsZero() {
			t.Errorf("a file that may grow: %+v", out)
		}
		write(t, filepath.Join(dumps, "night.sql"), "INSERT INTO ledger")
		now = now.Add(3 * time.Minute)
		look(0)
		now = now.Add(3 * time.Minute)
		if out := look(1); !out.Success || !out.Again.IsZero() {
			t.Errorf("a file that has settled: %+v", out)
		}
		look(1)
		if err := os.Rename(dumps, dumps+"-away"); err != nil {
			t.Fatal(err)
		}
		for range patience {
			if out := look(1); out.Success {
				t.Error("a folder that is gone: success")
			}
		}
		i.d.alarm.look(ctx)
		if got := standing(i, "dumps"); !strings.Contains(got, "The folder of the holding dumps is not there") {
			t.Errorf("told: %q", got)
		}
		if err := os.Rename(dumps+"-away", dumps); err != nil {
			t.Fatal(err)
		}
		look(1)
		i.d.alarm.look(ctx)
		if got := standing(i, "dumps"); got != "" {
			t.Errorf("told once it is back: %q", got)
		}
		now = now.AddDate(0, 0, 2)
		i.d.alarm.look(ctx)
		if got := standing(i, "dumps"); !strings.Contains(got, "for 2 days; something is expected daily") {
			t.Errorf("told when it is late: %q", got)
		}
		out, code := i.ask("holding", "watch")
		if code != exitGood || !strings.Contains(out, "1 file was here already") {
			t.Errorf("asked while serve runs: exit %d, %s", code, out)
		}
	})
}

// standing is what the alarm says of a holding.
func standing(i *daemonTest, name string) (text string) {
	for _, s := range i.d.alarm.center.List() {
		if s.Kind == notify.Holding && s.Source == name {
			text += s.Text.String()
		}
	}
	return text
}

func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// An oddFS is a folder whose files misbehave: by name.
type oddFS struct {
	fstest.MapFS
	read func(name string) // while a file is read
}

// Open implements fs.FS.
func (o oddFS) Open(name string) (fs.File, error) {
	if name == "shut" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	f, err := o.MapFS.Open(name)
	return oddFile{f, name, o}, err
}

type oddFile struct {
	fs.File
	name string
	o    oddFS
}

// Read implements fs.File.
func (f oddFile) Read(p []byte) (int, error) {
	f.o.read(f.name)
	if f.name == "worn" {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: errors.New("input/output error")}
	}
	return f.File.Read(p)
}

// TestKeepingOddFiles: a file that changes while it is read, or cannot be read, is not
// kept as good; the others are, and each is named with its cause.
func TestKeepingOddFiles(t *testing.T) {
	i := newDaemonTest(t, "--gap-days", "7")
	at := time.Date(2026, 10, 3, 2, 0, 0, 0, time.UTC)
	files := fstest.MapFS{}
	var list []holding.File
	for _, name := range []string{"good", "grows", "touched", "vanishes", "shut", "worn", "half.zip", "last"} {
		files[name] = &fstest.MapFile{Data: []byte("content of " + name), ModTime: at}
		list = append(list, holding.File{Path: name, Size: int64(len(files[name].Data)), Modified: at})
	}
	list = append(list, holding.File{Path: "gone", Size: 3, Modified: at})
	odd := oddFS{files, func(name string) {
		switch name {
		case "grows":
			files[name] = &fstest.MapFile{Data: []byte("content of grows, more"), ModTime: at}
		case "touched":
			files[name] = &fstest.MapFile{Data: files[name].Data, ModTime: at.Add(time.Second)}
		case "vanishes":
			delete(files, name)
		}
	}}
	i.serving(func(ctx context.Context) {
		k, err := i.e.newKeeping(i.d.m, config.Holding{Name: "odd"}, "/srv")
		if err != nil {
			t.Fatal(err)
		}
		if err := k.all(ctx, "holding.add", "owner", func() error { return k.files(ctx, odd, list) }); err != nil {
			t.Fatal(err)
		}
		var kept []string
		all, err := i.d.m.KeptFiles("odd")
		for _, f := range all {
			kept = append(kept, f.Path)
		}
		if got := strings.Join(kept, " "); err != nil || len(kept) != 3 || !strings.Contains(got, "good") || !strings.Contains(got, "half.zip") || !strings.Contains(got, "last") {
			t.Errorf("kept: %s, %v", got, err)
		}
		why := map[string]string{}
		for _, f := range append(k.result.Failed, k.result.Broken...) {
			why[f.Path] = f.Why
		}
		for name, want := range map[string]string{"vanishes": "gone", "gone": "gone", "shut": "may not read", "worn": "input/output error", "half.zip": ""} {
			if !strings.Contains(why[name], want) {
				t.Errorf("%s: %q, want %q", name, why[name], want)
			}
		}
		if k.result.Growing != 2 || k.result.Kept != 3 || len(k.result.Failed) != 4 {
			t.Errorf("%+v", k.result)
		}
		runs, err := i.d.m.Runs()
		if err != nil || runs[0].Kind != store.KindHolding || runs[0].Verdict != "complete with gaps" {
			t.Errorf("the run: %+v, %v", runs[0], err)
		}
	})
}

// TestKeepingWithoutRoom: a file for which the disk has no room is a sentence, and the
// files before it are kept.
func TestKeepingWithoutRoom(t *testing.T) {
	i := newDaemonTest(t, "--gap-days", "7")
	at := time.Date(2026, 10, 3, 2, 0, 0, 0, time.UTC)
	files := fstest.MapFS{"a": {Data: []byte("a"), ModTime: at}}
	i.serving(func(ctx context.Context) {
		k, err := i.e.newKeeping(i.d.m, config.Holding{Name: "dumps"}, "/srv")
		if err != nil {
			t.Fatal(err)
		}
		err = k.all(ctx, "holding.add", "owner", func() error {
			return errors.Join(k.files(ctx, files, []holding.File{{Path: "a", Size: 1, Modified: at}}),
				k.files(ctx, hugeFS{at}, []holding.File{{Path: "huge", Size: 1 << 60, Modified: at}}))
		})
		p := explain(err)
		if !errors.Is(err, store.ErrFull) || !strings.Contains(p.Lost, "still lie where they were") || causeOf(err) != causeFull {
			t.Errorf("%v: %+v", err, p)
		}
		if list, err := i.d.m.KeptFiles("dumps"); err != nil || len(list) != 1 {
			t.Errorf("%d files are kept, %v", len(list), err)
		}
		if _, _, open, err := i.d.m.OpenRun(""); err != nil || open {
			t.Errorf("the run is open: %v, %v", open, err)
		}
	})
}

// A hugeFS has one file, too large for any disk.
type hugeFS struct{ at time.Time }

// Open implements fs.FS.
func (h hugeFS) Open(string) (fs.File, error) { return hugeFile(h), nil }

type hugeFile struct{ at time.Time }

func (h hugeFile) Stat() (fs.FileInfo, error) { return h, nil }
func (h hugeFile) Read([]byte) (int, error)   { return 0, errors.New("it was read") }
func (h hugeFile) Close() error               { return nil }
func (h hugeFile) Name() string               { return "huge" }
func (h hugeFile) Size() int64                { return 1 << 60 }
func (h hugeFile) Mode() fs.FileMode          { return 0o600 }
func (h hugeFile) ModTime() time.Time         { return h.at }
func (h hugeFile) IsDir() bool                { return false }
func (h hugeFile) Sys() any                   { return nil }

// TestKeepingGoesOn: a keeping that was broken off is gone on with by the next, and
// ended, also if there is nothing new.
func TestKeepingGoesOn(t *testing.T) {
	i := newDaemonTest(t, "--gap-days", "7")
	at := time.Date(2026, 10, 3, 2, 0, 0, 0, time.UTC)
	files := fstest.MapFS{"a": {Data: bytes.Repeat([]byte("x"), store.SmallAttachment+1), ModTime: at}, "b": {Data: []byte("b"), ModTime: at}}
	i.serving(func(ctx context.Context) {
		k, err := i.e.newKeeping(i.d.m, config.Holding{Name: "dumps"}, "/srv")
		if err != nil {
			t.Fatal(err)
		}
		stopped, stop := context.WithCancel(ctx)
		err = k.all(stopped, "holding.add", "owner", func() error {
			err := k.files(stopped, files, []holding.File{{Path: "a", Size: store.SmallAttachment + 1, Modified: at}})
			stop()
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v", err)
		}
		if _, r, open, err := i.d.m.OpenRun(""); err != nil || !open || r.Kind != store.KindHolding {
			t.Errorf("open %v, %+v, %v", open, r, err)
		}
		k, err = i.e.newKeeping(i.d.m, config.Holding{Name: "dumps"}, "/srv")
		if err != nil || len(k.kept) != 1 {
			t.Fatalf("%d files are kept, %v", len(k.kept), err)
		}
		if err := k.all(ctx, "holding.add", "owner", func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		if _, _, open, err := i.d.m.OpenRun(""); err != nil || open {
			t.Errorf("still open: %v, %v", open, err)
		}
	})
}

// TestReportHoldings: what came is counted by the days of a report.
func TestReportHoldings(t *testing.T) {
	i := newDaemonTest(t, "--gap-days", "7")
	write(t, filepath.Join(i.dir, "dump.sql"), "INSERT")
	i.run("holding", "add", "dumps", filepath.Join(i.dir, "dump.sql"))
	i.serving(func(context.Context) {
		now := time.Now()
		for _, tt := range []struct {
			from, to   time.Duration
			list, came int
		}{{-time.Hour, time.Hour, 1, 1}, {time.Hour, 2 * time.Hour, 1, 0}, {-2 * time.Hour, -time.Hour, 0, 0}} {
			list, err := reportHoldings(i.d.m, now.Add(tt.from), now.Add(tt.to))
			if err != nil || len(list) != tt.list || len(list) == 1 && list[0].Came != tt.came {
				t.Errorf("from %s to %s: %+v, %v", tt.from, tt.to, list, err)
			}
		}
	})
}

// TestChooseKept: what get saves.
func TestChooseKept(t *testing.T) {
	at := time.Date(2026, 10, 3, 2, 0, 0, 0, time.UTC)
	var list []store.KeptFile
	for n, p := range []string{"format-document/f.pdf", "a.zip", "ehi/x.csv", "ehi/deep/y.csv", "a.zip", "b.sql"} {
		f := store.KeptFile{Path: p, Taken: at.AddDate(0, 0, n), Run: uint32(n)}
		if n == 0 {
			f.Role = holding.Format
		}
		list = append(list, f)
	}
	for _, tt := range []struct {
		what string
		all  bool
		want string
	}{
		{"", false, "b.sql format-document/f.pdf"},
		{"", true, "a.zip b.sql ehi/deep/y.csv ehi/x.csv format-document/f.pdf"},
		{"ehi", false, "ehi/deep/y.csv ehi/x.csv"},
		{"ehi/deep", false, "ehi/deep/y.csv"},
		{"eh", false, ""},
		{"a.zip", false, "a.zip"},
		{"a.zip/in/x", false, "in/x"},
		{"b.sql/in/x", false, ""},
	} {
		var got []string
		for _, w := range chooseKept(list, tt.what, tt.all) {
			got = append(got, w.as)
			if w.Path == "a.zip" && w.Run != 4 {
				t.Errorf("%q: an older one of a.zip", tt.what)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("chooseKept %q = %q, want %q", tt.what, got, tt.want)
		}
	}
	e := &env{}
	for _, bad := range []string{"../x", "/x", "a/../../x", "a/./b", ""} {
		if err := e.mayBeSaved(t.TempDir(), []wantedFile{{as: bad}}); err == nil {
			t.Errorf("%q may be saved", bad)
		}
	}
}
