package offsite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"filippo.io/age"

	"chartcellar/store"
	"chartcellar/store/disk"
	"chartcellar/store/keys"
	"chartcellar/store/verify"
)

// A Drilled is what a drill found: whether the copy comes back with nothing but the
// place and the sheet.
type Drilled struct {
	Started  time.Time       `json:"started"`
	Took     time.Duration   `json:"took"`
	Files    int             `json:"files"`
	Bytes    int64           `json:"bytes"`
	Records  int             `json:"records"` // lines that were decrypted and checked
	Damage   []verify.Damage `json:"damage,omitempty"`
	Wrong    []Wrong         `json:"wrong,omitempty"`
	AsOf     time.Time       `json:"asOf"` // end of the last pull that is in the copy
	Run      uint32          `json:"run"`
	Root     string          `json:"root"`     // short root of the copy's log
	SameRoot bool            `json:"sameRoot"` // the mirror's log had it at that size
	Patients int             `json:"patients"` // that were drawn and compared
	Compared int             `json:"compared"` // their records
	Differ   int             `json:"differ"`   // of them are not the same bytes
	// Lacking are records that only one of the two holds.
	Lacking    int    `json:"lacking"`
	NotChecked string `json:"notChecked"`
	// Apart are large files that are not meant for this place.
	Apart []store.Apart `json:"apart,omitempty"`
}

// Passed reports whether everything came back as it was.
func (d Drilled) Passed() bool {
	return len(d.Damage) == 0 && len(d.Wrong) == 0 && d.SameRoot && d.Differ == 0 && d.Lacking == 0 && d.Records > 0
}

// DrillOptions say how a drill is made.
type DrillOptions struct {
	Place    string       // name of the place
	Dir      string       // an empty folder; what is put there is sealed
	FS       disk.FS      // nil: the real one
	Identity age.Identity // from the sheet
	// Mirror says whether a place holds the mirror of the sheet.
	Mirror   func(first string, s keys.Statement) error
	Only     func(store.Choice) []string      // as in Options
	Patients int                              // how many to compare; 0: 20
	Rand     *rand.Rand                       // nil: a random one
	Now      func() time.Time                 // nil: time.Now
	Events   func(done, all int, bytes int64) // of the restore
}

// Drill restores a copy into a folder, reads every byte of it with the key of the
// sheet, compares its log with the mirror's, and the records of some patients byte by
// byte. The mirror must be unlocked. An error means that the drill could not be made;
// what is not as it must be is in the result.
func Drill(ctx context.Context, m *store.Mirror, p Place, o DrillOptions) (d Drilled, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Patients == 0 {
		o.Patients = 20
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	d.Started = o.Now().UTC()
	r, err := Restore(ctx, p, RestoreOptions{Dir: o.Dir, FS: o.FS, Now: o.Now, Events: o.Events, Mirror: o.Mirror, Signed: true})
	d.Files, d.Bytes, d.Wrong = r.Files, r.Bytes, r.Wrong
	if err != nil {
		return d, err
	}
	back, err := store.Look(ctx, store.Options{Dir: o.Dir, FS: o.FS, Identity: o.Identity})
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, back.Close()) }()
	checked, err := verify.Run(ctx, back, verify.Options{Depth: verify.Full, Now: o.Now})
	if err != nil {
		return d, err
	}
	d.Records, d.Damage = checked.Records, checked.Damage
	d.apart(checked.Apart, o)
	if err := d.roots(m, back); err != nil {
		return d, err
	}
	if err := d.patients(ctx, m, back, o); err != nil {
		return d, err
	}
	d.NotChecked = fmt.Sprintf("Records of patients that were not drawn were read and checked against the log, not laid beside those of the office copy. What the office copy got after %s is not in this copy.", d.AsOf.Format("2006-01-02 15:04 MST"))
	d.NotChecked = withApart(d.NotChecked, d.Apart)
	d.Took = o.Now().Sub(d.Started)
	return d, nil
}

// apart tells large files that are not meant for this place from those that are
// missing.
func (d *Drilled) apart(list []store.Apart, o DrillOptions) {
	for _, a := range list {
		var only []string
		if o.Only != nil {
			only = o.Only(a.Choice)
		}
		if len(only) == 0 || slices.Contains(only, o.Place) {
			d.Damage = append(d.Damage, verify.Damage{File: "holdings", What: a.Missing()})
			continue
		}
		a.Copies = only
		d.Apart = append(d.Apart, a)
	}
}

// roots compares the log of the copy with what the mirror's was at that size.
func (d *Drilled) roots(m, back *store.Mirror) error {
	size, root, err := back.Tree()
	if err != nil {
		return err
	}
	d.Root = store.Checkpoint{Size: size, Root: root}.ShortRoot()
	if size == 0 {
		return nil
	}
	want, err := m.TreeAt(size)
	if err != nil {
		return fmt.Errorf("the office copy's log is shorter than the second copy's: %w", err)
	}
	d.SameRoot = want == root
	return nil
}

// A drawn is a patient.
type drawn struct{ source, id string }

// patients compares the records of patients that are drawn from the mirror.
func (d *Drilled) patients(ctx context.Context, m, back *store.Mirror, o DrillOptions) error {
	runs, err := back.Runs()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(runs, func(r store.RunInfo) bool { return r.Kind == "sync" && !r.Ended.IsZero() })
	if i < 0 {
		return nil // nothing was ever pulled: there is nobody to draw
	}
	d.AsOf = runs[i].Ended
	d.Run = runs[slices.IndexFunc(runs, func(r store.RunInfo) bool { return !r.Ended.IsZero() })].Number
	here, err := m.AsOf(d.Run)
	if err != nil {
		return err
	}
	there, err := back.AsOf(d.Run)
	if err != nil {
		return err
	}
	here, there = here.Whole(), there.Whole()
	list, err := draw(ctx, here, runs, o)
	if err != nil {
		return err
	}
	for _, p := range list {
		a, err := recordsOf(ctx, here, p)
		if err != nil {
			return err
		}
		b, err := recordsOf(ctx, there, p)
		if err != nil {
			return err
		}
		d.compare(a, b)
		d.Patients++
	}
	return nil
}

// draw draws patients of all sources, each as likely as any other.
func draw(ctx context.Context, s *store.Snapshot, runs []store.RunInfo, o DrillOptions) (list []drawn, err error) {
	seen, n := map[string]bool{}, 0
	for _, r := range runs {
		if r.Kind != "sync" || seen[r.Source] {
			continue
		}
		seen[r.Source] = true
		err := s.Each(ctx, r.Source, "Patient", func(id string, _ []byte) error {
			if n++; len(list) < o.Patients {
				list = append(list, drawn{r.Source, id})
			} else if i := o.Rand.IntN(n); i < o.Patients {
				list[i] = drawn{r.Source, id}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// recordsOf returns the records of a patient by their names.
func recordsOf(ctx context.Context, s *store.Snapshot, p drawn) (map[store.Key][]byte, error) {
	all := map[store.Key][]byte{}
	_, err := s.Readable(ctx, p.source, p.id, func(v store.Version) error {
		all[v.Key] = bytes.Clone(v.Raw)
		return nil
	})
	return all, err
}

func (d *Drilled) compare(a, b map[store.Key][]byte) {
	for k, raw := range a {
		other, ok := b[k]
		switch {
		case !ok:
			d.Lacking++
		case !bytes.Equal(raw, other):
			d.Differ++
		}
		d.Compared++
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			d.Lacking++
		}
	}
}
