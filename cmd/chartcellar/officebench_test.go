package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/offsite"
	"chartcellar/store/verify"
)

// How large the mirror of BenchmarkPages is, and where it is kept to be used again.
var (
	pagesDir     = flag.String("pages.dir", "", "folder of the mirror of BenchmarkPages; it is made if it is empty, and kept")
	pagesDays    = flag.Int("pages.days", 3650, "days with a pull and a verification each")
	pagesRecords = flag.Int("pages.records", 1_000_000, "records of the mirror")
)

// BenchmarkPages measures each page that can be fetched, through the handler that is
// served, for an owner who is signed in: the first call after a start, which first-ms is
// of, and later ones. html-bytes is how large the page is.
func BenchmarkPages(b *testing.B) {
	dir := *pagesDir
	if dir == "" {
		dir = b.TempDir()
	}
	decade(b, dir)
	s := serveIn(b, dir)
	s.entersAsOwner()
	handler := s.e.daemon.get().office.Load().front
	for _, path := range pagePaths(*pagesDays) {
		first := time.Now()
		size := s.fetch(handler, path)
		took := time.Since(first)
		b.Run(strings.ReplaceAll(path, "/", "."), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.fetch(handler, path)
			}
			b.ReportMetric(float64(took.Microseconds())/1e3, "first-ms")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(b.N), "ms/op")
			b.ReportMetric(float64(size), "html-bytes")
		})
	}
}

// pagePaths are the pages that the routes name, each with an old and a new thing where
// the route leaves it open which.
func pagePaths(days int) (list []string) {
	now := time.Now()
	fill := map[string][]string{"{$}": {""}, "{run}": {"1", fmt.Sprint(days), fmt.Sprint(2*days - 1)},
		"{month}": {now.AddDate(0, -1, 0).Format("2006-01"), now.AddDate(-5, 0, 0).Format("2006-01")}}
	for _, r := range viewer.Routes() {
		if r.Method != http.MethodGet || r.Who == viewer.Anyone || r.Who == viewer.SettingUp || strings.Contains(r.Path, "{id}") {
			continue
		}
		open := r.Path[strings.Index(r.Path+"{", "{"):]
		open = open[:strings.Index(open+"}", "}")+min(1, len(open))]
		if open == "" {
			list = append(list, r.Path)
		}
		for _, v := range fill[open] {
			list = append(list, strings.Replace(r.Path, open, v, 1))
		}
	}
	return append(list, fmt.Sprintf("/backups/runs?before=%d", days))
}

// fetch has a page made, and returns how large it is.
func (s *served) fetch(h http.Handler, path string) int {
	s.t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, s.url+path, nil)
	r.RemoteAddr = "127.0.0.1:9"
	for _, c := range s.web.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	// A thing that is not there, or a page that asks for the password again, is one too.
	if w.Code >= 500 || w.Code == http.StatusSeeOther && !strings.HasPrefix(w.Header().Get("Location"), "/confirm") && path != "/lock" {
		s.t.Fatalf("GET %s: %d %s\n%s", path, w.Code, w.Header().Get("Location"), w.Body)
	}
	return w.Body.Len()
}

// entersAsOwner signs the owner in, once there is one.
func (s *served) entersAsOwner() {
	s.t.Helper()
	if c, to := s.get("/"); c == http.StatusSeeOther && to == "/setup" {
		c, body := s.post("/setup/owner", ownerForm(s.find(`Setup code: (\S+)`), ""))
		s.wants(c, body, http.StatusSeeOther)
	}
	c, body := s.post("/sign-in", url.Values{"name": {"reyes"}, "password": {ownerPassword}})
	s.wants(c, body, http.StatusSeeOther)
	if c, body = s.get("/"); c != http.StatusOK {
		s.t.Fatalf("Home: %d %s", c, body)
	}
}

// A noSync is a disk that is not waited for: what is made with it is only measured.
type noSync struct{ disk.OS }

func (noSync) SyncDir(string) error { return nil }
func (d noSync) Create(name string) (disk.File, error) {
	f, err := d.OS.Create(name)
	return noSyncFile{f}, err
}

type noSyncFile struct{ disk.File }

func (noSyncFile) Sync() error { return nil }

// decade makes a mirror with ten years of runs in dir, if there is none.
func decade(t testing.TB, dir string) {
	t.Helper()
	madeOnce(t, dir, func(e *env) {
		usb := filepath.Join(dir, "usb")
		if err := os.MkdirAll(usb, 0o700); err != nil {
			t.Fatal(err)
		}
		if code := run(t.Context(), e, []string{"copy", "add", "usb", "--folder", usb, "--disks", "2"}); code != exitGood {
			t.Fatalf("the place of the copies was not added: %d", code)
		}
		d := &decadeMaker{t: t, now: time.Now().AddDate(0, 0, -*pagesDays), here: map[string]int{}}
		d.m = unwaited(t, e, func() time.Time { return d.now })
		defer func() { d.must(d.m.Close()) }()
		d.fill()
	})
}

// madeOnce sets up a mirror in dir and has it filled, if that was not done before.
func madeOnce(t testing.TB, dir string, fill func(*env)) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "made")); err == nil {
		return
	}
	began := time.Now()
	emr, err := fakeemr.Start(fakeemr.Options{Practice: fakeemr.Practice{Patients: 1, Seed: 5, Years: 1}, Polls: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer emr.Close()
	emr.RegisterSecret("office", "s")
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, emr.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Getenv: func(name string) string {
		return map[string]string{"CHARTCELLAR_PASSPHRASE": ownerPassword, "CHARTCELLAR_CLIENT_SECRET": "s",
			"CHARTCELLAR_CONFIG": filepath.Join(dir, "settings", "settings.toml")}[name]
	}}
	steps := setUp(dir, ca, emr)
	steps[0] = []string{"init", "--data", filepath.Join(dir, "m"), "--practice", "Harbour Street", "--reserve-mb", "1"}
	for _, args := range steps {
		if code := run(t.Context(), e, args); code != exitGood {
			t.Fatalf("%v ended with %d", args, code)
		}
	}
	fill(e)
	if err := os.WriteFile(filepath.Join(dir, "made"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("the mirror was made in %v", time.Since(began).Round(time.Second))
}

// unwaited opens the mirror for writing on a disk that is not waited for.
func unwaited(t testing.TB, e *env, now func() time.Time) *store.Mirror {
	t.Helper()
	s, err := e.settings()
	if err != nil {
		t.Fatal(err)
	}
	o, err := e.storeOptions(s, access{doing: "sync"}, "")
	if err != nil {
		t.Fatal(err)
	}
	o.FS, o.Now = noSync{}, now
	m, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// decadeTypes are how many of a thousand records are of each type.
var decadeTypes = []struct {
	name  string
	share int
}{{"Patient", 10}, {"Observation", 330}, {"Condition", 60}, {"Encounter", 90}, {"MedicationRequest", 70}, {"DiagnosticReport", 60},
	{"Procedure", 60}, {"Immunization", 50}, {"DocumentReference", 60}, {"AllergyIntolerance", 10}, {"CarePlan", 10}, {"CareTeam", 10},
	{"Goal", 10}, {"Provenance", 120}, {"ServiceRequest", 20}, {"Coverage", 10}, {"Device", 5}, {"Location", 5}, {"Organization", 5}, {"Practitioner", 5}}

// A decadeMaker puts years of runs into a mirror.
type decadeMaker struct {
	t    testing.TB
	m    *store.Mirror
	now  time.Time
	n    int            // records so far
	here map[string]int // of them, by type
}

func (d *decadeMaker) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *decadeMaker) fill() {
	const daily = 50
	first := d.now
	for day := range *pagesDays {
		d.now = first.AddDate(0, 0, day)
		n := daily
		if day == 0 {
			n = max(daily, *pagesRecords-*pagesDays*daily)
		}
		d.pull(n, day == 0)
		d.now = d.now.Add(4 * time.Hour)
		for i := range 10 {
			d.must(d.m.Journal(store.Event{Code: "chart.view", Account: "reyes", Key: store.Key{Source: "emr", Type: "Patient", ID: fmt.Sprint(i)}}))
		}
		res := verify.Result{Depth: verify.Rolling, Started: d.now, Took: time.Minute, Files: 900, Bytes: 1 << 28, Root: "0123456789abcdef",
			Damage: []verify.Damage{}, Days: []int{day % 30}, NotChecked: "the other files; attachments"}
		_, err := d.m.Record(d.t.Context(), store.RunSpec{Kind: "verify"}, verifiedGood, res)
		d.must(err)
		d.copy(day)
	}
}

// copy makes the records of a day's copy to one of two disks that take turns every week,
// and of a drill each month.
func (d *decadeMaker) copy(day int) {
	res := offsite.Result{Place: "usb", What: "copy", Started: d.now, Took: time.Minute, Disk: fmt.Sprint("disk", day/7%2), Files: 900 + day, There: 900 + day, Copied: 4, Checkpoint: day}
	_, err := d.m.Record(d.t.Context(), store.RunSpec{Source: "usb", Kind: copyRun}, copyComplete, copyRecord{Result: res})
	d.must(err)
	if day%30 == 0 {
		rec := drillRecord{offsite.Drilled{Started: d.now, Took: time.Minute, Files: 900, Records: 9000, SameRoot: true, Patients: 20}, "usb", "Dr. Reyes"}
		_, err := d.m.Record(d.t.Context(), store.RunSpec{Source: "usb", Kind: drillRun}, rec.verdict(), rec)
		d.must(err)
	}
}

// pull makes one run with n new records.
func (d *decadeMaker) pull(n int, full bool) {
	ctx := d.t.Context()
	r, err := d.m.Begin(ctx, store.RunSpec{Source: "emr", Kind: "sync"})
	d.must(err)
	defer r.Abort()
	rep := fhirsync.Report{Run: r.Number(), Source: "emr", Kind: "sync", Verdict: fhirsync.Complete, Full: full, Started: d.now.UTC(),
		Files: 20, Bytes: int64(n) * 600, Wire: int64(n) * 90, Offered: fhirsync.Offered{Software: "Example EMR 9", FHIR: "4.0.1", Hash: "0123456789abcdef"}}
	for n := range fill(n) {
		d.must(r.Add(ctx, store.Chunk{Lines: d.lines(n)}))
	}
	counts, err := r.Counts(ctx)
	d.must(err)
	d.now = d.now.Add(7 * time.Minute)
	rep.Ended = d.now.UTC()
	for _, t := range decadeTypes {
		d.here[t.name] += counts[t.name].New
		rep.Offered.Types = append(rep.Offered.Types, t.name)
		rep.Types = append(rep.Types, fhirsync.TypeRow{Type: t.name, Mode: "bulk", Why: "the EMR exports it, and says what was deleted",
			Asked: true, Full: full, Manifest: counts[t.name].Lines, Listed: counts[t.name].Lines, Count: counts[t.name], Verified: true,
			Checked: fhirsync.Checked{Server: d.here[t.name], Mirror: d.here[t.name]}})
	}
	record, err := json.Marshal(rep)
	d.must(err)
	certificate, err := json.Marshal(rep.Certificate())
	d.must(err)
	d.must(r.Close(ctx, store.Closing{States: index.RunStates{All: index.Applied}, Verdict: string(rep.Verdict), Record: record, Certificate: certificate}))
}

// chunk is how many records are brought in at a time.
const chunk = 1000

// fill cuts n into chunks.
func fill(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for ; n > 0; n -= chunk {
			if !yield(min(n, chunk)) {
				return
			}
		}
	}
}

// lines are the next n records.
func (d *decadeMaker) lines(n int) []byte {
	var b []byte
	for range n {
		at, typ := d.n*389%1000, "" // spreads the types
		for _, t := range decadeTypes {
			if typ = t.name; at < t.share {
				break
			}
			at -= t.share
		}
		b = fmt.Appendf(b, `{"resourceType":%q,"id":"r%d","meta":{"lastUpdated":%q},"subject":{"reference":"Patient/r%d"},"text":{"status":"generated","div":"%s"}}`+"\n",
			typ, d.n, d.now.UTC().Format(time.RFC3339), d.n%9000, strings.Repeat("a note ", 40))
		d.n++
	}
	return b
}
