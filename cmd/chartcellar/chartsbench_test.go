package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"html"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/storetest"
)

// How large the mirror of BenchmarkCharts is, and where it is kept to be used again.
var (
	chartsDir      = flag.String("charts.dir", "", "folder of the mirror of BenchmarkCharts; it is made if it is empty, and kept")
	chartsPatients = flag.Int("charts.patients", 2000, "patients of the mirror, each with some 20 records")
	chartsByTime   = flag.Bool("charts.bytime", false, "the records come in the order of time, not patient by patient")
)

// benchDays is how many days with a small pull follow the first one.
const benchDays = 5

// A practiceMaker brings an invented practice into a mirror.
type practiceMaker struct {
	t testing.TB
	m *store.Mirror
	p storetest.Practice
}

// practiceIn makes the mirror of BenchmarkCharts in dir, if there is none.
func practiceIn(t testing.TB, dir string) {
	t.Helper()
	madeOnce(t, dir, func(e *env) {
		now := time.Now().AddDate(0, 0, -benchDays)
		k := practiceMaker{t, unwaited(t, e, func() time.Time { return now }), storetest.Practice{Patients: *chartsPatients}}
		k.pull(func(give func([]byte)) {
			for _, typ := range storetest.PracticeTypes {
				k.export(typ, give)
			}
		})
		for day := range benchDays {
			now = now.AddDate(0, 0, 1)
			k.pull(func(give func([]byte)) { give(k.today(day)) })
		}
		if err := k.m.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// export gives the records of a type as a first pull brings them.
func (k practiceMaker) export(typ string, give func([]byte)) {
	var b []byte
	add := func(i, visit int) {
		if b = k.p.Append(b, typ, i, visit); len(b) > 1<<20 {
			give(b)
			b = nil
		}
	}
	for i := range k.p.Patients {
		add(i, -1)
		for visit := 0; visit < k.p.Visits(i) && !*chartsByTime; visit++ {
			add(i, visit)
		}
	}
	steps := k.p.Visits(storetest.Heavy)
	for step := 0; step < steps && *chartsByTime; step++ {
		for i := range k.p.Patients {
			n := k.p.Visits(i)
			for visit := (step*n + steps - 1) / steps; visit*steps < (step+1)*n; visit++ {
				add(i, visit)
			}
		}
	}
	give(b)
}

// today are the records of one more visit of a few patients.
func (k practiceMaker) today(day int) (b []byte) {
	for n := range 20 {
		i := storetest.Heavy + 6 + (day*20+n)*7%(k.p.Patients-storetest.Heavy-6)
		for _, typ := range storetest.PracticeTypes {
			b = k.p.Append(b, typ, i, 1000+day)
		}
	}
	return b
}

// pull makes one run of what is given.
func (k practiceMaker) pull(lines func(give func([]byte))) {
	ctx := k.t.Context()
	must := func(err error) {
		k.t.Helper()
		if err != nil {
			k.t.Fatal(err)
		}
	}
	r, err := k.m.Begin(ctx, store.RunSpec{Source: "emr", Kind: "sync"})
	must(err)
	defer r.Abort()
	lines(func(b []byte) {
		if len(b) > 0 {
			must(r.Add(ctx, store.Chunk{Lines: b}))
		}
	})
	counts, err := r.Counts(ctx)
	must(err)
	record := fmt.Appendf(nil, `{"run":%d,"source":"emr","verdict":"complete"}`, r.Number())
	must(r.Close(ctx, store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts, Verdict: "complete", Record: record}))
}

// BenchmarkCharts measures the pages of patients through the handler that is served, for
// an owner who is signed in: what half of the requests and nineteen of twenty stay below,
// and the slowest; and what they take of both processors. floor-ms is how long SHA-256 of 32 MB takes at the same time: with
// other programs at work it grows, and so does everything else.
func BenchmarkCharts(b *testing.B) {
	dir := *chartsDir
	if dir == "" {
		dir = b.TempDir()
	}
	practiceIn(b, dir)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(lookedMemory))
	defer debug.SetGCPercent(debug.SetGCPercent(lookedGC))
	s := serveIn(b, dir)
	s.entersAsOwner()
	c := chartsBench{served: s, o: s.e.daemon.get().office.Load(), rand: rand.New(rand.NewPCG(1, 2))}
	c.most(b)
	for _, step := range []struct {
		name string
		run  func(*testing.B)
	}{{"unlock to first search", c.unlock}, {"search", c.search}, {"hints", c.hints}, {"list with a filter", c.filter},
		{"typical chart", c.typical}, {"chart of 5000", c.heavy}, {"a tab of it", c.tab}, {"documents of it", c.documents},
		{"first hit in notes", c.notes}, {"all notes", c.allNotes}} {
		b.Run(step.name, step.run)
	}
	stop := c.writing(b)
	for _, step := range []struct {
		name string
		run  func(*testing.B)
	}{{"search", c.search}, {"typical chart", c.typical}, {"chart of 5000", c.heavy}, {"first hit in notes", c.notes}} {
		b.Run(step.name+" while a pull writes", step.run)
	}
	stop()
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(float64(c.peak.Load()>>20), "most-RssAnon-MB")
	})
}

// A chartsBench asks for pages.
type chartsBench struct {
	*served
	o    *office
	rand *rand.Rand
	peak atomic.Int64 // anonymous memory
	// writes is how many records the pull has brought that goes on; nil: none does.
	writes *atomic.Int64
	used   time.Duration // of both processors by the requests since it was set to 0
}

// processorTime is what this process has used, in hundredths of a second; 0 where the
// system does not say.
func processorTime() time.Duration {
	b, err := os.ReadFile("/proc/self/stat")
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if err != nil || len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11]) // kernel text
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// most samples the memory until the benchmark ends.
func (c *chartsBench) most(b *testing.B) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c.peak.Store(max(c.peak.Load(), anonymous(os.Getpid())))
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	b.Cleanup(func() { close(done); wg.Wait() })
}

// ask sends a request to the handler and returns how long it took, and where it leads or
// what it says.
func (c *chartsBench) ask(method, path string, form url.Values) (time.Duration, string) {
	c.t.Helper()
	u, err := url.Parse(c.url)
	if err != nil {
		c.t.Fatal(err)
	}
	r := httptest.NewRequest(method, c.url+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = "127.0.0.1:9"
	for _, one := range c.web.Jar.Cookies(u) {
		r.AddCookie(one)
	}
	w := httptest.NewRecorder()
	began, used := time.Now(), processorTime()
	c.o.front.ServeHTTP(w, r)
	took := time.Since(began)
	c.used += processorTime() - used
	if to := w.Header().Get("Location"); w.Code == http.StatusSeeOther {
		return took, to
	}
	if w.Code != http.StatusOK {
		c.t.Fatalf("%s %s: %d\n%s", method, path, w.Code, w.Body)
	}
	return took, w.Body.String()
}

// spread reports how long the requests of a step took.
func (c *chartsBench) spread(b *testing.B, one func() time.Duration) {
	var list, floors []time.Duration
	var used time.Duration
	block := make([]byte, 1<<20)
	for b.Loop() {
		c.used = 0
		list = append(list, one())
		used += c.used
		if len(list)%10 == 1 {
			began := time.Now()
			for range 32 {
				sha256.Sum256(block)
			}
			floors = append(floors, time.Since(began))
		}
	}
	slices.Sort(list)
	slices.Sort(floors)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(list[len(list)/2]), "p50-ms")
	b.ReportMetric(ms(list[len(list)*95/100]), "p95-ms")
	b.ReportMetric(ms(list[len(list)-1]), "max-ms")
	if c.writes == nil {
		b.ReportMetric(ms(used)/float64(len(list)), "cpu-ms")
	}
	b.ReportMetric(ms(floors[len(floors)/2]), "floor-ms")
}

// query is what somebody may type to find a patient.
func (c *chartsBench) query() string {
	i := c.rand.IntN(*chartsPatients)
	name := storetest.FamilyName(i)
	return []string{name, strings.ToLower(string([]rune(name)[:3])), fmt.Sprint(1000000 + i), fmt.Sprintf("%04d", c.rand.IntN(10000)),
		fmt.Sprint(1940 + c.rand.IntN(80)), name + " anna", "a"}[c.rand.IntN(7)]
}

// found asks for the patients that fit, as the form does.
func (c *chartsBench) found(form url.Values) time.Duration {
	c.t.Helper()
	first, to := c.ask(http.MethodPost, "/patients", form)
	then, body := c.ask(http.MethodGet, to, nil)
	if !strings.Contains(body, "patient") {
		c.t.Fatalf("the list of patients says\n%s", body)
	}
	return first + then
}

func (c *chartsBench) unlock(b *testing.B) {
	c.spread(b, func() time.Duration {
		c.post("/sign-out", nil)
		began := time.Now()
		code, body := c.post("/sign-in", url.Values{"name": {"reyes"}, "password": {ownerPassword}})
		c.wants(code, body, http.StatusSeeOther)
		c.found(url.Values{"text": {"anna"}})
		return time.Since(began)
	})
}

func (c *chartsBench) search(b *testing.B) {
	c.spread(b, func() time.Duration { return c.found(url.Values{"text": {c.query()}}) })
}

func (c *chartsBench) hints(b *testing.B) {
	c.spread(b, func() time.Duration {
		took, _ := c.ask(http.MethodPost, "/patients/hints", url.Values{"text": {c.query()}})
		return took
	})
}

func (c *chartsBench) filter(b *testing.B) {
	c.spread(b, func() time.Duration {
		return c.found(url.Values{"ages": {"old"}, "sex": {"female"}, "state": {"active"}})
	})
}

// chart opens a patient's chart.
func (c *chartsBench) chart(i int, page string) time.Duration {
	c.t.Helper()
	took, body := c.ask(http.MethodGet, "/chart/"+string(c.o.Refer("emr", "Patient/"+storetest.PatientID(i)))+page, nil)
	if !strings.Contains(body, html.EscapeString(storetest.FamilyName(i))) {
		c.t.Fatalf("the chart says\n%s", body)
	}
	return took
}

func (c *chartsBench) typical(b *testing.B) {
	c.spread(b, func() time.Duration { return c.chart(c.rand.IntN(*chartsPatients), "") })
}

// heavy opens the largest chart as of one day after another: so many are not kept, and
// nothing of it is in memory.
func (c *chartsBench) heavy(b *testing.B) {
	day := 0
	c.spread(b, func() time.Duration {
		day = (day + 1) % benchDays
		c.o.m.DropCache()
		return c.chart(storetest.Heavy, "?asof="+time.Now().AddDate(0, 0, -day).Format("2006-01-02"))
	})
}

// notes searches all notes for a word that hardly one has, until the first hit is shown;
// allNotes, for one that none has, until it is over.
func (c *chartsBench) notes(b *testing.B)    { c.searchNotes(b, storetest.RareWord, `class="card hit"`) }
func (c *chartsBench) allNotes(b *testing.B) { c.searchNotes(b, "zzyzx", "Nothing was found") }

func (c *chartsBench) searchNotes(b *testing.B, text, until string) {
	c.spread(b, func() time.Duration {
		began := time.Now()
		_, at := c.ask(http.MethodPost, "/search", url.Values{"kind": {"notes"}, "group": {"notes"}, "text": {text}})
		for body := ""; !strings.Contains(body, until); {
			if time.Since(began) > time.Minute {
				b.Fatalf("%q never came:\n%s", until, body)
			}
			time.Sleep(10 * time.Millisecond)
			_, body = c.ask(http.MethodGet, at+"/part", nil)
		}
		took := time.Since(began)
		c.ask(http.MethodPost, at+"/stop", nil)
		return took
	})
}

func (c *chartsBench) tab(b *testing.B) {
	c.chart(storetest.Heavy, "")
	c.spread(b, func() time.Duration { return c.chart(storetest.Heavy, "/results") })
}

func (c *chartsBench) documents(b *testing.B) {
	c.chart(storetest.Heavy, "")
	c.spread(b, func() time.Duration { return c.chart(storetest.Heavy, "/documents") })
}

// writing lets a pull bring some 5,000 new records in a second until stop is called.
func (c *chartsBench) writing(b *testing.B) (stop func()) {
	k := practiceMaker{b, c.o.m, storetest.Practice{Patients: *chartsPatients}}
	done := make(chan struct{})
	c.writes = new(atomic.Int64)
	var wg sync.WaitGroup
	wg.Go(func() {
		k.pull(func(give func([]byte)) {
			for day := int(time.Now().Unix()); ; day++ {
				select {
				case <-done:
					return
				case <-time.After(20 * time.Millisecond):
					lines := k.today(day)
					give(lines)
					c.writes.Add(int64(bytes.Count(lines, []byte("\n"))))
				}
			}
		})
	})
	began := time.Now()
	return func() {
		close(done)
		wg.Wait()
		b.Logf("the pull brought %d records in %v", c.writes.Load(), time.Since(began).Round(time.Second))
	}
}
