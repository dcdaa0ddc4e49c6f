// Package verify reads a mirror again and says what is wrong with it.
//
// It never repairs and never changes a file. Each result names how deep the
// check went and what it did not look at (archive.md 8).
package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"chartcellar/store"
	"chartcellar/store/archive"
	"chartcellar/store/index"
)

// A Depth is how deep a check goes.
type Depth string

// The depths.
const (
	Quick   Depth = "quick"   // every file is there and has its size; last part and checkpoint
	Rolling Depth = "rolling" // one thirtieth of all bytes against the checkpoints
	Sample  Depth = "sample"  // random records from the index to the byte
	Full    Depth = "full"    // every byte decrypted, every root, every line compared with the index
)

// A Damage is one thing that is wrong.
type Damage struct {
	File string `json:"file"` // below the data folder
	What string `json:"what"`
}

// A Result is what a check found.
type Result struct {
	Depth      Depth         `json:"depth"`
	Started    time.Time     `json:"started"`
	Took       time.Duration `json:"took"`
	Files      int           `json:"files"`
	Bytes      int64         `json:"bytes"`   // of encrypted files that were read
	Plain      int64         `json:"plain"`   // of records that were decrypted
	Records    int           `json:"records"` // lines that were read
	Root       string        `json:"root"`    // short root of the last checkpoint
	Damage     []Damage      `json:"damage"`
	Days       []int         `json:"days,omitempty"` // the thirtieths that a rolling check read
	NotChecked string        `json:"notChecked"`
	// Apart are the large files that are not in a copy that is looked at, by choice: if
	// it is none of their Copies. Which copy it is, whoever looks knows.
	Apart []store.Apart `json:"apart,omitempty"`
	// Harm is what the damaged files come to; nil if there are none.
	Harm *store.Harm `json:"harm,omitempty"`
	// Lost are the files that a person has declared lost, and LostHarm what they come to:
	// no check fails for them, and each names them, for ever.
	Lost     []store.LostFile `json:"lost,omitempty"`
	LostHarm *store.Harm      `json:"lostHarm,omitempty"`
}

// Good reports whether nothing is wrong.
func (r Result) Good() bool { return len(r.Damage) == 0 }

func (r *Result) bad(file, format string, a ...any) {
	r.Damage = append(r.Damage, Damage{filepath.ToSlash(file), fmt.Sprintf(format, a...)})
}

// Options say what to check.
type Options struct {
	Depth   Depth
	Samples int   // records for Sample; 0: 299, which find 1 % damage at 95 %
	Days    []int // for Rolling: which thirtieths, 0-29
	Now     func() time.Time
	Rand    *rand.Rand                         // for Sample; nil: a random one
	Events  func(part, parts int, plain int64) // progress; nil: nobody listens
}

// Run checks a mirror. Full and Sample need it unlocked. An error means that the
// check could not be made; damage is in the result.
func Run(ctx context.Context, m *store.Mirror, o Options) (Result, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Events == nil {
		o.Events = func(int, int, int64) {}
	}
	r := Result{Depth: o.Depth, Started: o.Now().UTC(), Damage: []Damage{}}
	if (o.Depth == Full || o.Depth == Sample) && m.Locked() {
		return r, store.ErrLocked
	}
	signed := checkpoints(m, &r) // before the parts: a run that ends meanwhile brings both
	parts, err := m.Parts()
	if err != nil {
		return r, err
	}
	apart, err := m.Apart()
	if err != nil {
		return r, err
	}
	parts = leaveOut(parts, apart, &r)
	for _, p := range m.Found() {
		if p.File == "" { // else it is looked at again, as it is now
			r.bad("", "%s", p.Words)
		}
	}
	switch o.Depth {
	case Quick:
		err = quick(m, &r, parts)
		r.NotChecked = "The content of the files was not read, except that of the newest."
	case Rolling:
		r.Days = o.Days
		err = rolling(ctx, m, &r, parts, signed.of, o.Days)
		r.NotChecked = fmt.Sprintf("%d of 30 files were not read, and nothing was decrypted.", 30-len(o.Days))
	case Sample:
		err = sample(ctx, m, &r, o)
		r.NotChecked = "Records that were not drawn were not read."
	case Full:
		r.NotChecked = "Whether the EMR still holds the same was not asked."
		if err = full(ctx, m, &r, parts, signed, o.Events); err == nil {
			err = settings(m, &r)
		}
	default:
		return r, fmt.Errorf("verify: there is no depth %q", o.Depth)
	}
	if err == nil {
		err = errors.Join(sizes(ctx, m, &r, apart), harm(ctx, m, &r))
	}
	for _, a := range r.Apart {
		r.NotChecked += " " + a.Unsure()
	}
	r.Took = o.Now().Sub(r.Started)
	return r, err
}

// leaveOut takes the files that are not here by choice out of the parts, and notes them.
func leaveOut(parts []index.Part, apart map[string]store.Apart, r *Result) []index.Part {
	for i, p := range parts {
		parts[i].Files = slices.DeleteFunc(slices.Clone(p.Files), func(f index.File) bool {
			a, chosen := apart[f.Name]
			if chosen = chosen && f.Lost == 0; chosen {
				r.Apart = store.AddApart(r.Apart, a)
			}
			return chosen
		})
	}
	return parts
}

// sizes names the files that are missing or have another size, but for those that
// are named already.
func sizes(ctx context.Context, m *store.Mirror, r *Result, apart map[string]store.Apart) error {
	list, err := m.Broken(ctx, func(index.Part) bool { return false })
	for _, b := range list {
		_, chosen := apart[b.Name]
		switch {
		case chosen && b.Missing:
		case slices.ContainsFunc(r.Damage, func(d Damage) bool { return d.File == b.Name }):
		case b.Missing:
			r.bad(b.Name, "missing")
		default:
			r.bad(b.Name, "damaged: it does not have the size or the signature that it must have")
		}
	}
	return err
}

// harm says what the damage and what was lost come to.
func harm(ctx context.Context, m *store.Mirror, r *Result) error {
	var files []string
	for _, d := range r.Damage {
		if d.File != "" {
			files = append(files, d.File)
		}
	}
	var err error
	if r.Harm, err = harmOf(ctx, m, files); err != nil {
		return err
	}
	if r.Lost, err = m.Lost(); err != nil {
		return err
	}
	files = nil
	for _, l := range r.Lost {
		files = append(files, l.File)
	}
	r.LostHarm, err = harmOf(ctx, m, files)
	return err
}

func harmOf(ctx context.Context, m *store.Mirror, files []string) (*store.Harm, error) {
	if len(files) == 0 {
		return nil, nil
	}
	h, err := m.Harm(ctx, files)
	return &h, err
}

// sums are what the checkpoints state.
type sums struct {
	of   map[string][32]byte // by file
	last store.Checkpoint    // the newest that is good
}

// checkpoints checks every checkpoint's signature and its root against the log,
// and returns what they state.
func checkpoints(m *store.Mirror, r *Result) sums {
	s := sums{of: map[string][32]byte{}}
	n, err := m.Checkpoints()
	if err != nil {
		r.bad("index.db", "the number of checkpoints cannot be read")
		return s
	}
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("checkpoints/%012d", i)
		c, err := m.ReadCheckpoint(i)
		if err != nil {
			r.bad(name, "%s", plain(err))
			continue
		}
		root, err := m.TreeAt(c.Size)
		if err != nil || root != c.Root {
			r.bad(name, "the signed root is not the root of this archive")
		}
		maps.Copy(s.of, c.Files)
		r.Root, s.last = c.ShortRoot(), c
		r.Files++
	}
	return s
}

// settings checks that each state of the settings file that was kept is as it was signed.
func settings(m *store.Mirror, r *Result) error {
	last, err := m.SettingsKept()
	for n := 1; n <= last && err == nil; n++ {
		_, err = m.ReadSettings(n)
		r.Files++
		if errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrNotFound) {
			r.bad(fmt.Sprintf("settings/%06d.age", n), "%s", plain(err))
			err = nil
		}
	}
	return err
}

// plain says what an error means for a file.
func plain(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, store.ErrNotFound):
		return "missing"
	case errors.Is(err, store.ErrDamaged):
		return "damaged: its content is not what was written"
	}
	return "cannot be read"
}

// PartName is the file of a part, below the data folder, as Damage names it.
func PartName(n uint32) string { return filepath.ToSlash(archive.PartNumber(n).Name()) }

// checkSum reads a part's file, and the attachment files that it is the first to
// name, and compares them with index and checkpoint.
func checkSum(m *store.Mirror, r *Result, p index.Part, sums map[string][32]byte) error {
	files := append([]index.File{{Name: PartName(p.Number), Size: p.Size, SHA256: p.SHA256, Lost: p.Lost}}, p.Files...)
	for _, f := range files {
		if f.Lost > 0 {
			continue
		}
		size, sum, err := m.SumFile(f.Name)
		signed, covered := sums[f.Name]
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.bad(f.Name, "missing")
			continue
		case err != nil:
			return err
		case size != f.Size:
			r.bad(f.Name, "has %d bytes, must have %d", size, f.Size)
		case sum != f.SHA256, covered && sum != signed:
			r.bad(f.Name, "damaged: its SHA-256 is not the one that was signed")
		}
		r.Files++
		r.Bytes += size
	}
	return nil
}

func quick(m *store.Mirror, r *Result, parts []index.Part) error {
	r.Files += len(parts)
	if len(parts) == 0 {
		return nil
	}
	return checkSum(m, r, parts[len(parts)-1], nil)
}

func rolling(ctx context.Context, m *store.Mirror, r *Result, parts []index.Part, sums map[string][32]byte, days []int) error {
	for _, p := range parts {
		if !slices.Contains(days, int(p.Number)%30) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := checkSum(m, r, p, sums); err != nil {
			return err
		}
	}
	return nil
}

// sample reads random records through the index.
func sample(ctx context.Context, m *store.Mirror, r *Result, o Options) error {
	if o.Samples == 0 {
		o.Samples = 299
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	snap, err := m.Now()
	if err != nil {
		return err
	}
	n, damaged, err := snap.Sample(ctx, o.Samples, o.Rand)
	for _, d := range damaged {
		r.bad(PartName(d.Part), "damaged: a record of type %s cannot be read", d.Type)
	}
	r.Records = n
	return err
}
