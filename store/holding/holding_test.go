package holding_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"chartcellar/store/holding"
	"chartcellar/store/index"
)

var t0 = time.Date(2026, 10, 3, 2, 0, 0, 0, time.UTC)

func day(n int) time.Time { return t0.AddDate(0, 0, n) }

func paths(files []holding.File) (list []string) {
	for _, f := range files {
		list = append(list, f.Path)
	}
	return list
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.zip", "b.zip", "b.ZIP.part", ".hidden", "export/1.csv", "export/.x/2.csv", "export/deep/3.csv", "notes.txt"} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	wantLinks := 0
	if runtime.GOOS != "windows" {
		if err := os.Symlink("/", filepath.Join(dir, "export", "link")); err != nil {
			t.Fatal(err)
		}
		wantLinks = 1
	}
	for pattern, want := range map[string]string{
		"":      "a.zip b.zip export/1.csv export/deep/3.csv notes.txt",
		"*":     "a.zip b.zip export/1.csv export/deep/3.csv notes.txt",
		"*.zip": "a.zip b.zip",
		"e*":    "export/1.csv export/deep/3.csv",
	} {
		l, err := holding.List(os.DirFS(dir), pattern)
		if err != nil || strings.Join(paths(l.Files), " ") != want {
			t.Errorf("List %q = %v, %v; want %s", pattern, paths(l.Files), err, want)
		}
		if pattern == "" && (l.Arriving != 1 || l.Links != wantLinks || len(l.Skipped) != 0) {
			t.Errorf("%d arrive, %d links, skipped %v", l.Arriving, l.Links, l.Skipped)
		}
	}
	if _, err := holding.List(os.DirFS(filepath.Join(dir, "gone")), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is gone: %v", err)
	}
}

// TestListUnreadable: a folder that cannot be listed is named, and the rest is listed.
func TestListUnreadable(t *testing.T) {
	l, err := holding.List(locked{fstest.MapFS{"a": {}, "shut/b": {}}}, "")
	if err != nil || strings.Join(paths(l.Files), " ") != "a" || !slices.Equal(l.Skipped, []string{"shut"}) {
		t.Errorf("List = %+v, %v", l, err)
	}
}

// locked is a folder of which one cannot be listed.
type locked struct{ fstest.MapFS }

// ReadDir implements fs.ReadDirFS.
func (l locked) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "shut" {
		return nil, fs.ErrPermission
	}
	return l.MapFS.ReadDir(name)
}

func TestFresh(t *testing.T) {
	kept := []index.KeptFile{{Path: "same", Size: 1, Modified: t0}, {Path: "grown", Size: 1, Modified: t0},
		{Path: "back", Size: 1, Modified: t0}, {Path: "back", Size: 2, Modified: day(1)}, {Path: "touched", Size: 1, Modified: t0}}
	files := []holding.File{{"same", 1, t0.In(time.FixedZone("", 3600))}, {"grown", 2, t0}, {"back", 1, t0}, {"touched", 1, day(1)}, {"new", 0, t0}}
	if got := strings.Join(paths(holding.Fresh(files, kept)), " "); got != "grown back touched new" {
		t.Errorf("Fresh = %s", got)
	}
}

// TestWatcher: what changes its size or its time, or goes away and comes back, begins to
// settle anew; nothing is still at the first look.
func TestWatcher(t *testing.T) {
	w := &holding.Watcher{}
	for i, step := range []struct {
		at    time.Duration
		files []holding.File
		still string
	}{
		{0, []holding.File{{"a", 1, t0}, {"b", 1, t0}, {"c", 1, t0}}, ""},
		{time.Minute, []holding.File{{"a", 1, t0}, {"b", 2, t0}, {"c", 1, t0}}, ""},
		{2 * time.Minute, []holding.File{{"a", 1, t0}, {"b", 2, day(1)}}, "a"},
		{3 * time.Minute, []holding.File{{"b", 2, day(1)}, {"c", 1, t0}}, ""},
		{4 * time.Minute, []holding.File{{"a", 1, t0}, {"b", 2, day(1)}, {"c", 1, t0}}, "b"},
		{5 * time.Minute, []holding.File{{"a", 1, t0}, {"c", 1, t0}}, "c"},
	} {
		still, growing := w.Look(t0.Add(step.at), step.files, 2*time.Minute)
		if got := strings.Join(paths(still), " "); got != step.still || growing != len(step.files)-len(still) {
			t.Errorf("look %d: %q is still, %d grow; want %q", i, got, growing, step.still)
		}
	}
}

// kept makes deliveries of files: "name size sum", a day apart.
func kept(lines ...string) (list []index.KeptFile) {
	for i, l := range lines {
		f := index.KeptFile{Holding: "h", Taken: day(i)}
		if _, err := fmt.Sscan(l, &f.Path, &f.Size, &f.SHA256); err != nil {
			panic(err)
		}
		if strings.HasPrefix(f.Path, holding.FormatFolder) {
			f.Role = holding.Format
		}
		list = append(list, f)
	}
	return list
}

func summary(t *testing.T, files []index.KeptFile) holding.Summary {
	t.Helper()
	list := holding.Summarize(files)
	if len(list) != 1 {
		t.Fatalf("%d holdings", len(list))
	}
	return list[0]
}

func TestSummarize(t *testing.T) {
	files := kept("dump-1.sql 100 a", "dump-1.sql 120 b", "ehi-1/x.csv 10 c", "ehi-1/y.csv 10 d", "ehi-1/x.csv 30 e", "format-document/f.pdf 5 f")
	files[0].Covers, files[2].Covers, files[3].Covers = []string{"billing"}, []string{"images", "billing"}, []string{"images"}
	other := kept("other 7 g")
	other[0].Holding = "a"
	list := holding.Summarize(append(files, other...))
	if len(list) != 2 || list[0].Name != "a" || list[1].Name != "h" {
		t.Fatalf("Summarize = %+v", list)
	}
	s := list[1]
	if s.Files != 3 || s.Size != 160 || s.Formats != 1 || !slices.Equal(s.Covers, []holding.Cover{{"billing", day(2)}, {"images", day(3)}}) || !s.Newest().Equal(day(4)) {
		t.Errorf("%+v", s)
	}
	var got []string
	for _, d := range s.Deliveries {
		got = append(got, fmt.Sprintf("%s %v %d %d", d.Name, d.Folder, d.Files, d.Size))
	}
	if want := "dump-1.sql false 1 100; dump-1.sql false 1 120; ehi-1 true 2 40"; strings.Join(got, "; ") != want {
		t.Errorf("deliveries: %q, want %q", got, want)
	}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name     string
		files    []string
		expected string
		days     float64 // after the newest
		want     string
	}{
		{"on time", []string{"d 9 a"}, "daily", 1, ""},
		{"late by the day", []string{"d 9 a"}, "daily", 2, "late"},
		{"late by the week", []string{"d 9 a"}, "weekly", 9, "late"},
		{"not late by the quarter", []string{"d 9 a"}, "quarterly", 94, ""},
		{"nothing is expected", []string{"d 9 a"}, "none", 900, ""},
		{"half", []string{"d-1 100 a", "d-2 110 b", "d-3 90 c", "d-4 49 d"}, "daily", 0, "half of 100"},
		{"just not half", []string{"d-1 100 a", "d-2 50 b"}, "daily", 0, ""},
		{"usual is in the middle of the last seven", []string{"d-1 900 a", "d-2 9 b", "d-3 9 c", "d-4 9 d", "d-5 9 e", "d-6 9 f", "d-7 9 g", "d-8 9 h", "d-9 8 i"}, "daily", 0, ""},
		{"equal under another name", []string{"d-1 100 a", "d-2 100 a"}, "daily", 0, "equal"},
		{"equal under the same name", []string{"d 100 a", "d 100 a"}, "daily", 0, "equal"},
		{"equal to one long ago", []string{"d 100 a", "d 101 b", "d 100 a"}, "daily", 0, ""},
		{"two dumps a night are not compared with each other", []string{"db-1 100 a", "docs-1 5000 b", "db-2 101 c", "docs-2 5000 d"}, "weekly", 0, ""},
		{"the other of two dumps is half", []string{"db-1 100 a", "docs-1 5000 b", "docs-2 2000 c", "db-2 100 d"}, "weekly", 0, "half of 5000"},
		{"a dump that is no longer made is not judged", []string{"old-1 100 a", "old-2 10 b", "new-1 5 c", "new-2 5 d", "new-3 5 e"}, "daily", 0, ""},
		{"a folder against the one before it", []string{"ehi-1/a 100 a", "ehi-1/b 100 b", "ehi-2/a 50 c"}, "quarterly", 0, "half of 200"},
		{"an equal folder", []string{"ehi-1/a 100 a", "ehi-2/a 100 a"}, "quarterly", 0, "equal"},
		{"a growing folder", []string{"docs/a 100 a", "docs/b 1 b"}, "daily", 0, ""},
		{"documents of the format do not count", []string{"d 100 a", "format-document/x 1 a"}, "none", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := summary(t, kept(tt.files...))
			r := s.Judge(tt.expected, time.Time{}, s.Newest().Add(time.Duration(tt.days*24)*time.Hour))
			got := ""
			switch {
			case r.Late:
				got = "late"
			case r.Half != nil:
				got = fmt.Sprintf("half of %d", r.Usual)
			case r.Equal != nil:
				got = "equal"
			case r.Never || r.Broken != nil:
				got = "something else"
			}
			if got != tt.want || r.Any() != (tt.want != "") {
				t.Errorf("Judge = %q, any %v; want %q", got, r.Any(), tt.want)
			}
		})
	}
}

// TestJudgeNever: that nothing ever came is wrong only once it could have.
func TestJudgeNever(t *testing.T) {
	s := holding.Summary{Name: "h"}
	for _, tt := range []struct {
		expected string
		since    time.Time
		want     bool
	}{{"daily", t0, true}, {"daily", day(2), false}, {"daily", time.Time{}, false}, {"none", t0, false}} {
		if got := s.Judge(tt.expected, tt.since, day(3)).Never; got != tt.want {
			t.Errorf("Judge %s since %s: %v", tt.expected, tt.since, got)
		}
	}
}

func TestJudgeBroken(t *testing.T) {
	files := kept("a-1.zip 10 a", "a-2.zip 10 b")
	files[1].Problem = "it is no whole zip file"
	if r := summary(t, files).Judge("none", time.Time{}, day(2)); r.Broken == nil || r.Broken.Name != "a-2.zip" {
		t.Errorf("%+v", r)
	}
	if r := summary(t, append(files, kept("x 1 x", "x 1 x", "a-3.zip 10 c")[2:]...)).Judge("none", time.Time{}, day(2)); r.Broken != nil {
		t.Errorf("a good one came since: %+v", r.Broken)
	}
}

// zipped makes a zip file of n small files.
func zipped(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range n {
		w, err := z.Create(fmt.Sprintf("patients/%d/Überweisung %d.csv", i, i))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(w, "row,%d\n", i)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestZip(t *testing.T) {
	b := zipped(t, 300)
	n, found := 0, ""
	err := holding.Zip(bytes.NewReader(b), int64(len(b)), func(in holding.Inside) error {
		n++
		if holding.Matches(in.Path, "PATIENTS über 27") && found == "" {
			found = in.Path
		}
		return nil
	})
	if err != nil || n != 300 || found != "patients/27/Überweisung 27.csv" {
		t.Errorf("Zip: %d files, found %q, %v", n, found, err)
	}
	body, in, err := holding.OpenInside(bytes.NewReader(b), int64(len(b)), found)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); err != nil || string(got) != "row,27\n" || in.Size != int64(len(got)) {
		t.Errorf("inside: %q of %d, %v", got, in.Size, err)
	}
	if _, _, err := holding.OpenInside(bytes.NewReader(b), int64(len(b)), "patients/27"); !errors.Is(err, holding.ErrInside) {
		t.Errorf("a file that is not there: %v", err)
	}
	for name, bad := range map[string][]byte{"half": b[:len(b)/2], "nothing": nil, "no zip": []byte(strings.Repeat("x", 5000))} {
		if err := holding.Zip(bytes.NewReader(bad), int64(len(bad)), nil); !errors.Is(err, holding.ErrInside) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("broken disk")
	if err := holding.Zip(failing{broken}, 5000, nil); !errors.Is(err, broken) || errors.Is(err, holding.ErrInside) {
		t.Errorf("bytes that cannot be read: %v", err)
	}
}

type failing struct{ err error }

// ReadAt implements io.ReaderAt.
func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func FuzzZip(f *testing.F) {
	f.Add(zipped(f, 2))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := holding.Zip(bytes.NewReader(b), int64(len(b)), func(in holding.Inside) error {
			if strings.HasSuffix(in.Path, "/") {
				t.Errorf("%q is a folder", in.Path)
			}
			return nil
		})
		if err != nil && !errors.Is(err, holding.ErrInside) {
			t.Errorf("Zip = %v: nothing was wrong with the reading", err)
		}
	})
}
