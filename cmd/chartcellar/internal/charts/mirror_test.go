package charts_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/access"
	"chartcellar/store/disk"
	"chartcellar/store/index"
	"chartcellar/store/journal"
	"chartcellar/store/keys"
	"chartcellar/store/storetest"
)

func TestMain(m *testing.M) { storetest.InMemory(m) }

// A desk is a room over a mirror of a test, and the clock of both.
type desk struct {
	*charts.Room
	t   testing.TB
	m   *store.Mirror
	key age.Identity
	fs  gatedFS

	// mu covers what follows.
	mu   sync.Mutex
	now  time.Time
	stay func() // called while a page is made that is of today; nil: nothing is
}

// doctor sees everything; staff does not see what is labelled sensitive.
var (
	doctor = viewer.Actor{Account: "doctor", Role: access.Doctor, Charts: true, Sensitive: true, Address: "192.0.2.1", Request: "AAAA"}
	staff  = viewer.Actor{Account: "staff", Role: access.Staff, Charts: true, Address: "192.0.2.2", Request: "BBBB"}
)

// newDesk makes a mirror that holds these lines of the source "main", pulled on the
// morning of 1 March 2026. The next pull is a day later.
func newDesk(t testing.TB, lines ...string) *desk {
	t.Helper()
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, now: time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	made, err := store.Init(store.InitOptions{Dir: dir, Box: box, Practice: "Practice", Now: d.clock})
	if err != nil {
		t.Fatal(err)
	}
	d.key = made.Office
	d.m, err = store.Open(context.Background(), store.Options{Dir: dir, Box: box, Ballast: -1, Reserve: 1, Identity: made.Office, Now: d.clock, FS: &d.fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.m.Close() })
	d.Room, err = charts.New(charts.Options{Mirror: d.m, Now: d.clock, Zone: func() *time.Location { return time.UTC },
		Sources: func() []string { return []string{"main"} }, Age: func(string) (string, error) {
			d.mu.Lock()
			stay := d.stay
			d.mu.Unlock()
			if stay != nil {
				stay()
			}
			return "The newest copy, at " + d.clock().Format(time.Kitchen) + ".", nil
		},
		Words: func(code string) (string, bool) { return "did " + code, strings.HasPrefix(code, "access.") },
		Dated: func(string) (string, error) { return "The copy of that day.", nil }, Practice: func() string { return "Practice" },
		Base: func(string) string { return "https://emr.example/fhir/" }})
	if err != nil {
		t.Fatal(err)
	}
	d.pull("main", lines...)
	return d
}

// A gatedFS opens no file of records while somebody holds its gate.
type gatedFS struct {
	disk.OS
	gate sync.RWMutex
}

// Open implements disk.FS.
func (f *gatedFS) Open(name string) (disk.File, error) {
	if strings.Contains(name, "parts") {
		f.gate.RLock()
		defer f.gate.RUnlock()
	}
	return f.OS.Open(name)
}

// hold makes whoever reads records wait until release is called.
func (d *desk) hold() (release func()) {
	d.m.DropCache()
	d.fs.gate.Lock()
	return d.fs.gate.Unlock
}

func (d *desk) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// pull adds a run of a source with these lines, and goes on to the next day. A line
// Type/id alone says that the EMR no longer has that record.
func (d *desk) pull(source string, lines ...string) {
	d.t.Helper()
	ctx := context.Background()
	r, err := d.m.Begin(ctx, store.RunSpec{Source: source, Kind: "sync"})
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Abort()
	for _, l := range lines {
		if typ, id, ok := strings.Cut(l, "/"); ok && !strings.HasPrefix(l, "{") {
			err = r.Tombstone(ctx, store.Tombstone{Type: typ, ID: id, Kind: "deleted", Detector: "history"})
		} else {
			err = r.Add(ctx, store.Chunk{Lines: []byte(l + "\n")})
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
	counts, err := r.Counts(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := r.Close(ctx, store.Closing{States: index.RunStates{All: index.Applied}, Counts: counts}); err != nil {
		d.t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.AddDate(0, 0, 1)
}

// at is the place of a patient's chart, now or as of a day.
func (d *desk) at(id string, asOf string) viewer.Place {
	return viewer.Place{Ref: d.Refer("main", "Patient/"+id), AsOf: asOf}
}

// journal returns the codes of the journal since the mirror was made, with the notes.
func (d *desk) journal() (list []string) {
	d.t.Helper()
	err := d.m.EachJournalLine(context.Background(), 1<<40, func(l journal.Line) error {
		note, err := d.m.OpenNote(l)
		list = append([]string{strings.TrimSpace(l.Code + " " + l.Account + " " + note)}, list...)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

// shut makes the journal refuse every line from now on.
func (d *desk) shut() {
	d.t.Helper()
	if err := d.m.Close(); err != nil {
		d.t.Fatal(err)
	}
}

// is fails the test unless err is want.
func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}
