package index

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A State says whether the changes of a run count.
type State string

// The states of a run, for one type or for all. New records count from their
// commit on; changes and tombstones of existing ones only when applied
// (archive.md 6, Held).
const (
	Underway State = "open"
	Applied  State = "applied"
	Held     State = "held"
	Rejected State = "rejected"
)

// RunStates are the states of one run: All, but for the types named. Types are
// keyed by resource type name.
type RunStates struct {
	All   State            `json:"all"`
	Types map[string]State `json:"types,omitempty"`
}

func (r RunStates) of(typ byte) State {
	if s, ok := r.Types[TypeName(typ)]; ok {
		return s
	}
	return r.All
}

// States are the states of all runs.
type States map[uint32]RunStates

// Of returns the state of the run of e, for its type.
func (s States) Of(e *Entry) State { return s[e.Run].of(e.Key.Type()) }

// Counts reports whether e counts as a state of its record.
func (s States) Counts(e *Entry) bool {
	if e.Flags&aside != 0 {
		return false
	}
	return e.Flags&New != 0 || s.Of(e) == Applied
}

// A RunState is what the index keeps of a run. Record is the report, written
// by the layer above.
type RunState struct {
	Source  string          `json:"source"`
	Kind    string          `json:"kind"`
	Started time.Time       `json:"started"`
	Ended   time.Time       `json:"ended,omitzero"`
	States  RunStates       `json:"states"`
	Counts  Counts          `json:"counts,omitempty"`
	Verdict string          `json:"verdict,omitempty"` // as the layer above gave it
	Closing uint32          `json:"closing,omitempty"` // number of the closing part
	Record  json.RawMessage `json:"record,omitempty"`
	// Certificate are the exact bytes whose SHA-256 the run's checkpoint signs.
	Certificate []byte `json:"certificate,omitempty"`
	// Proposed are the cursors of held types: they move when the hold is accepted.
	Proposed []Cursor `json:"proposed,omitempty"`
}

// Counts are what a run did, by resource type name.
type Counts map[string]Count

// A Count counts the lines of one type in one run.
type Count struct {
	Lines      int `json:"lines,omitempty"`      // lines read, with duplicates
	New        int `json:"new,omitempty"`        // records never seen before
	Changed    int `json:"changed,omitempty"`    // new versions of known records
	Unchanged  int `json:"unchanged,omitempty"`  // equal to what is kept
	Removed    int `json:"removed,omitempty"`    // tombstones
	Duplicates int `json:"duplicates,omitempty"` // the same record twice in one run
	Quarantine int `json:"quarantine,omitempty"` // lines that are no resource
	Subsetted  int `json:"subsetted,omitempty"`  // records of which the source gave a part only
	Silent     int `json:"silent,omitempty"`     // of changed: lastUpdated stayed as it was
	Regressed  int `json:"regressed,omitempty"`  // of changed: lastUpdated went back
	Returned   int `json:"returned,omitempty"`   // of changed: they were removed before
	Again      int `json:"again,omitempty"`      // came again, also as removed, because what was kept of them was lost
	// Sizes of changed records before and after: the guard looks at them.
	SizeBefore int64 `json:"sizeBefore,omitempty"`
	SizeAfter  int64 `json:"sizeAfter,omitempty"`
}

// Add adds another count of the same type.
func (c *Count) Add(o Count) {
	c.Lines += o.Lines
	c.New += o.New
	c.Changed += o.Changed
	c.Unchanged += o.Unchanged
	c.Removed += o.Removed
	c.Duplicates += o.Duplicates
	c.Quarantine += o.Quarantine
	c.Subsetted += o.Subsetted
	c.Silent += o.Silent
	c.Regressed += o.Regressed
	c.Returned += o.Returned
	c.Again += o.Again
	c.SizeBefore += o.SizeBefore
	c.SizeAfter += o.SizeAfter
}

// Add adds o to c, type by type.
func (c Counts) Add(o Counts) {
	for t, n := range o {
		sum := c[t]
		sum.Add(n)
		c[t] = sum
	}
}

// A Cursor is where the next run of one stream continues.
type Cursor struct {
	Source string    `json:"source"`
	Mode   string    `json:"mode"`            // bulk, search
	Group  string    `json:"group,omitempty"` // for Group exports
	Scope  string    `json:"scope,omitempty"` // what else decides the content: level, parameters
	Type   string    `json:"type"`
	Since  time.Time `json:"since"` // the next _since; zero: start full
	Run    uint32    `json:"run"`   // the run that moved it
	Full   time.Time `json:"full"`  // start of the last full listing of this stream
}

func (c Cursor) name() string {
	return c.Source + "\x00" + c.Mode + "\x00" + c.Group + "\x00" + c.Scope + "\x00" + c.Type
}

// A Gap is something the source has and we could not get.
type Gap struct {
	ID     string    `json:"id"` // unique in the mirror
	Source string    `json:"source"`
	Kind   string    `json:"kind"` // page, file, line, attachment, patient, type
	Type   string    `json:"type,omitempty"`
	Ref    string    `json:"ref,omitempty"` // of which record, as Type/id
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Tries  int       `json:"tries"`
	Closed string    `json:"closed,omitempty"` // evidence; a closed gap leaves the list
}

// Changes are what a part changes beside records: they become durable in the
// same transaction and stand in the part's footer, so that the parts alone
// rebuild the index (I3).
type Changes struct {
	Start    *RunState                  `json:"start,omitempty"`    // the run begins
	Progress map[string]json.RawMessage `json:"progress,omitempty"` // null removes
	Gaps     []Gap                      `json:"gaps,omitempty"`
	Counts   Counts                     `json:"counts,omitempty"` // to be added to the run's
	Close    *Closing                   `json:"close,omitempty"`
	Decide   []Decision                 `json:"decide,omitempty"`
	Journal  []string                   `json:"journal,omitempty"` // segments packed into this part
	Lost     *Losses                    `json:"lost,omitempty"`    // files that are gone for ever
}

// A Closing ends a run.
type Closing struct {
	States   RunStates       `json:"states"`
	Ended    time.Time       `json:"ended"`
	Cursors  []Cursor        `json:"cursors,omitempty"`  // moved now
	Proposed []Cursor        `json:"proposed,omitempty"` // of held types
	Counts   Counts          `json:"counts,omitempty"`   // the run's, corrected
	Verdict  string          `json:"verdict,omitempty"`  // in a word, for lists
	Record   json.RawMessage `json:"record,omitempty"`
	// Certificate, if set, is what the layer above wants signed: the checkpoint
	// carries its SHA-256.
	Certificate []byte `json:"certificate,omitempty"`
	// Absent are, for each type that was listed whole, the records that the
	// listing lacked: they take the place of the type's marks before.
	Absent map[string][]Absence `json:"absent,omitempty"`
}

// A Decision accepts or rejects one held type of a run.
type Decision struct {
	Run    uint32    `json:"run"`
	Type   string    `json:"type"`
	Accept bool      `json:"accept"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// sealed lists.

func (d *DB) putSealed(b *bolt.Bucket, purpose string, key []byte, v any) error {
	plain, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s to the index: %w", purpose, err)
	}
	sealed, err := d.seal.Seal("index "+purpose, plain)
	if err != nil {
		return fmt.Errorf("seal %s: %w", purpose, err)
	}
	return put(b, key, sealed)
}

func (d *DB) unseal(purpose string, key, v []byte, to any) error {
	sealed, err := checked(key, v)
	if err != nil {
		return err
	}
	plain, err := d.seal.Open("index "+purpose, sealed)
	if err != nil {
		return fmt.Errorf("open %s in the index: %v: %w", purpose, err, ErrBad)
	}
	if err := json.Unmarshal(plain, to); err != nil {
		return fmt.Errorf("read %s in the index: %v: %w", purpose, err, ErrBad)
	}
	return nil
}

// nameKey hides a name that is a key.
func (d *DB) nameKey(name string) []byte {
	m := hmac.New(sha256.New, d.keys.name)
	m.Write([]byte(name))
	return m.Sum(nil)[:16]
}

func runKey(run uint32) []byte { return binary.BigEndian.AppendUint32(nil, run) }

func (d *DB) eachRun(tx *bolt.Tx, fn func(uint32, RunState) error) error {
	return tx.Bucket(bRuns).ForEach(func(k, v []byte) error {
		var r RunState
		if err := d.unseal("run", k, v, &r); err != nil {
			return err
		}
		return fn(binary.BigEndian.Uint32(k), r)
	})
}

func (d *DB) run(tx *bolt.Tx, run uint32) (RunState, bool, error) {
	var r RunState
	v := tx.Bucket(bRuns).Get(runKey(run))
	if v == nil {
		return r, false, nil
	}
	err := d.unseal("run", runKey(run), v, &r)
	return r, err == nil, err
}

// head returns the run without what is long.
func (r RunState) head() RunState {
	r.Record, r.Certificate = nil, nil
	return r
}

// A RunInfo is a run with its number.
type RunInfo struct {
	Number uint32
	RunState
}

// Runs returns all runs, newest first, without Record and Certificate, from memory. The
// list and what it holds must not be modified.
func (d *DB) Runs() []RunInfo {
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	if d.list == nil {
		d.list = make([]RunInfo, 0, len(d.heads))
		for n, r := range d.heads {
			d.list = append(d.list, RunInfo{n, r})
		}
		slices.SortFunc(d.list, func(a, b RunInfo) int { return cmp.Compare(b.Number, a.Number) })
	}
	return slices.Clip(d.list)
}

// EachRun calls fn for every run in the order of their numbers, without Record
// and Certificate: they are read from memory.
func (d *DB) EachRun(fn func(uint32, RunState) error) error {
	for _, r := range slices.Backward(d.Runs()) {
		if err := fn(r.Number, r.RunState); err != nil {
			return err
		}
	}
	return nil
}

// Head returns one run without Record and Certificate, from memory.
func (d *DB) Head(run uint32) (r RunState, ok bool) {
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	r, ok = d.heads[run]
	return r, ok
}

// Run returns one run, whole.
func (d *DB) Run(run uint32) (r RunState, ok bool, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		r, ok, err = d.run(tx, run)
		return err
	})
	return r, ok, err
}

// Progress returns what a run recorded under a name; nil if nothing.
func (d *DB) Progress(run uint32, name string) (json.RawMessage, error) {
	var p json.RawMessage
	err := d.view(func(tx *bolt.Tx) error {
		k := append(runKey(run), d.nameKey(name)...)
		v := tx.Bucket(bProgress).Get(k)
		if v == nil {
			return nil
		}
		return d.unseal("progress", k, v, &p)
	})
	return p, err
}

// Cursors returns the cursors of a source.
func (d *DB) Cursors(source string) ([]Cursor, error) {
	var list []Cursor
	err := d.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bCursors).ForEach(func(k, v []byte) error {
			var c Cursor
			err := d.unseal("cursor", k, v, &c)
			if err == nil && c.Source == source {
				list = append(list, c)
			}
			return err
		})
	})
	return list, err
}

// Gaps returns the open gaps of a source; of all sources for "".
func (d *DB) Gaps(source string) ([]Gap, error) {
	var list []Gap
	err := d.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bGaps).ForEach(func(k, v []byte) error {
			var g Gap
			err := d.unseal("gap", k, v, &g)
			if err == nil && (source == "" || g.Source == source) {
				list = append(list, g)
			}
			return err
		})
	})
	return list, err
}

// Job returns the durable job record of a source; nil if there is none. It is
// the one thing in the index that the parts do not hold (I3).
func (d *DB) Job(source string) (json.RawMessage, error) {
	var j json.RawMessage
	err := d.view(func(tx *bolt.Tx) error {
		k := d.nameKey(source)
		v := tx.Bucket(bJobs).Get(k)
		if v == nil {
			return nil
		}
		return d.unseal("job", k, v, &j)
	})
	return j, err
}

// SetJob replaces the job record of a source, durably; nil forgets it.
func (d *DB) SetJob(source string, job json.RawMessage) error {
	d.write.Lock()
	defer d.write.Unlock()
	return d.update(func(tx *bolt.Tx) error {
		b, k := tx.Bucket(bJobs), d.nameKey(source)
		if job == nil {
			return b.Delete(k)
		}
		return d.putSealed(b, "job", k, job)
	})
}

// Meta returns a small named value; nil if it was never set.
func (d *DB) Meta(name string) ([]byte, error) {
	var out []byte
	err := d.view(func(tx *bolt.Tx) error {
		v, err := get(tx.Bucket(bMeta), []byte(name))
		if v != nil {
			out = append([]byte{}, v...)
		}
		return err
	})
	return out, err
}

// SetMeta sets a small named value, durably.
func (d *DB) SetMeta(name string, value []byte) error {
	d.write.Lock()
	defer d.write.Unlock()
	return d.update(func(tx *bolt.Tx) error {
		return put(tx.Bucket(bMeta), []byte(name), value)
	})
}
