// Package journal writes what happened, who decided and who looked, line by
// line, each on the disk before the thing it tells of is done.
//
// A line goes first into a small synced segment file, chained to the line before
// by its hash; at the end of a run the segments are packed into a part, like the
// records (archive.md 1). Lines name no patient in clear. The package knows
// nothing of parts.
package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"chartcellar/store/disk"
)

// A Line is one event. Free text goes into Note, which the caller has
// encrypted.
type Line struct {
	Seq     int64     `json:"seq"`  // rises by one
	Prev    string    `json:"prev"` // SHA-256 of the line before, hex
	Time    time.Time `json:"time"`
	Code    string    `json:"code"`              // such as record.view, run.accept
	Account string    `json:"account,omitempty"` // who
	Source  string    `json:"source,omitempty"`
	Type    string    `json:"type,omitempty"`    // resource type
	Patient string    `json:"patient,omitempty"` // keyed hash
	Run     uint32    `json:"run,omitempty"`
	Count   int       `json:"count,omitempty"`
	Note    []byte    `json:"note,omitempty"`
}

// A Journal is the open journal of one mirror. Append may be called from many
// goroutines.
type Journal struct {
	fs  disk.FS
	dir string
	now func() time.Time

	// mu covers what follows and is held across the sync, so that two lines
	// never share one acknowledgement.
	mu      sync.Mutex
	file    disk.File // the segment being written; nil: none yet
	segment int       // number of the newest segment
	seq     int64
	prev    string
	bad     bool  // a write went wrong: the segment is given up
	stuck   error // lines that do not count could not be put aside: nothing is written any more
	written int   // the segment that this process began last; 0: none
	end     int64 // bytes of it that are durable
	waiting map[int]waiting
	spoilt  map[int]bool // segments in which a line was damaged when they were packed

	// reading is held while a segment is open for reading, so that it is not
	// removed then (Windows refuses to).
	reading sync.RWMutex

	// checking covers sums: what the last Check found, by segment.
	checking sync.Mutex
	sums     map[int]*sum
}

// A waiting is what a segment holds that is in no part yet.
type waiting struct {
	oldest time.Time
	size   int64
}

// Waiting returns the time of the oldest line that was not forgotten, and the size
// of all of them; zero if there is none.
func (j *Journal) Waiting() (oldest time.Time, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, w := range j.waiting {
		size += w.size
		if oldest.IsZero() || w.oldest.Before(oldest) {
			oldest = w.oldest
		}
	}
	return oldest, size
}

// wait notes a line of a segment. The caller holds mu, or is Open.
func (j *Journal) wait(segment int, at time.Time, size int) {
	w, known := j.waiting[segment]
	if !known {
		w.oldest = at
	}
	w.size += int64(size)
	j.waiting[segment] = w
}

// Open reads the segments in the folder journal below root and continues their
// chain; with none it starts at seq and prev, the end of what is packed. Broken
// reports lines that are no lines, cut short or not chained: they stay where they
// are. A cut line, or one whose number the next segment uses again, does not count
// once the chain goes on behind it: its write failed, and nobody was told that it
// is there.
func Open(fsys disk.FS, root string, seq int64, prev string, now func() time.Time) (j *Journal, broken int, err error) {
	j = &Journal{fs: fsys, dir: filepath.Join(root, "journal"), now: now, seq: seq, prev: prev, waiting: map[int]waiting{}, spoilt: map[int]bool{}}
	if err := fsys.Mkdir(j.dir); err != nil {
		return nil, 0, fmt.Errorf("make the journal's folder: %w", err)
	}
	names, err := j.segments()
	if err != nil {
		return nil, 0, err
	}
	torn := 0     // of the segments before: lines cut short that may have been acknowledged
	var last Line // of the segments before
	for _, n := range names {
		s, err := j.read(n)
		if err != nil {
			return nil, 0, err
		}
		broken += s.broken
		for i, l := range s.lines {
			again := i == 0 && l.line.Seq == last.Seq && l.line.Prev == last.Prev
			if l.line.Prev != j.prev && j.prev != "" && !again {
				broken += 1 + torn
			}
			if i == 0 {
				torn = 0 // the chain goes on behind the cut: that line never counted
			}
			j.seq, j.prev, last = l.line.Seq, hash(l.raw), l.line
			j.wait(n, l.line.Time, len(l.raw))
		}
		torn += s.torn
		j.segment = n
	}
	return j, broken + torn, nil
}

// segments returns the numbers of the segment files in order.
func (j *Journal) segments() ([]int, error) {
	entries, err := j.fs.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("list the journal: %w", err)
	}
	var list []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && len(e.Name()) == 6 {
			list = append(list, n)
		}
	}
	return list, nil
}

func (j *Journal) path(n int) string { return filepath.Join(j.dir, fmt.Sprintf("%06d", n)) }

type readLine struct {
	line Line
	raw  []byte
}

// A segment is what read found in one file.
type segment struct {
	lines  []readLine
	broken int // lines that are no JSON
	torn   int // 1 if the last line has no end
}

// read returns the lines of a segment.
func (j *Journal) read(n int) (s segment, err error) {
	content, err := disk.ReadFile(j.fs, j.path(n), 64<<20)
	if err != nil {
		return s, fmt.Errorf("read the journal: %w", err)
	}
	for len(content) > 0 {
		end := bytes.IndexByte(content, '\n')
		if end < 0 {
			s.torn = 1 // by a crash or a full disk, and then never acknowledged
			return s, nil
		}
		raw := content[:end]
		content = content[end+1:]
		raw, whole := unsigned(raw)
		var l Line
		if !whole || json.Unmarshal(raw, &l) != nil {
			s.broken++
			continue
		}
		s.lines = append(s.lines, readLine{l, raw})
	}
	return s, nil
}

func hash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// check is what stands behind a line in its segment: it tells a changed bit in the
// newest line, which no later line confirms.
func check(raw []byte) string { return hash(raw)[:16] }

// unsigned cuts the check off a line. A line of an early release has none.
func unsigned(raw []byte) (line []byte, whole bool) {
	at := bytes.IndexByte(raw, '\t')
	if at < 0 {
		return raw, true
	}
	return raw[:at], check(raw[:at]) == string(raw[at+1:])
}

// Append writes lines, each with its number, time and link to the line before.
// They are durable when Append returns nil, with one sync for all of them; else what
// they tell of must not be done. After an error Append may be called again: it starts
// a new segment.
func (j *Journal) Append(lines ...Line) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.stuck != nil {
		return fmt.Errorf("write the journal: %w", j.stuck)
	}
	seq, prev := j.seq, j.prev
	var block []byte
	for i := range lines {
		l := &lines[i]
		l.Seq, l.Prev, l.Time = seq+1, prev, j.now().UTC()
		raw, err := json.Marshal(l)
		if err != nil {
			return fmt.Errorf("write the journal: %w", err)
		}
		block = append(append(append(append(block, raw...), '\t'), check(raw)...), '\n')
		seq, prev = l.Seq, hash(raw)
	}
	write := j.write
	if len(lines) > 1 {
		write = j.writeApart
	}
	if err := write(block); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	j.seq, j.prev = seq, prev
	for _, l := range lines {
		j.wait(j.segment, l.Time, len(block)/len(lines))
	}
	return nil
}

// segmentSize is how large a segment grows before the next begins.
const segmentSize = 8 << 20

func (j *Journal) write(block []byte) error {
	if j.file == nil || j.bad || j.end > segmentSize {
		if err := j.next(); err != nil {
			return err
		}
	}
	n, err := j.file.Write(block)
	if err == nil {
		err = j.file.Sync()
	}
	if j.bad = err != nil; !j.bad {
		j.end += int64(n)
	}
	return err
}

// writeApart writes several lines into a segment of their own. One line that was written
// in vain is told by its number, which comes again; of several the whole segment goes to
// the quarantine. If it cannot, nothing may be written behind it.
func (j *Journal) writeApart(block []byte) error {
	if err := j.next(); err != nil {
		return err
	}
	err := j.write(block)
	if err == nil {
		return nil
	}
	j.reading.Lock()
	defer j.reading.Unlock()
	j.file.Close() // given up
	j.file, j.written, j.end = nil, 0, 0
	if _, aside := disk.Quarantine(j.fs, filepath.Dir(j.dir), j.path(j.segment)); aside != nil {
		j.stuck = errors.Join(err, aside)
	}
	return err
}

// next starts a segment: a segment that was written by another process, or
// whose last write went wrong, is never continued.
func (j *Journal) next() error {
	if j.file != nil {
		j.file.Close() // given up or already synced
		j.file = nil
	}
	f, err := j.fs.Create(j.path(j.segment + 1))
	if err != nil {
		return err
	}
	j.segment++
	j.file, j.bad, j.written, j.end = f, false, j.segment, 0
	return j.fs.SyncDir(j.dir)
}

// A Pack is what goes into a part: the lines as they were written, and the
// segments they are from.
type Pack struct {
	Lines    [][]byte
	Segments []string
	Seq      int64 // of the last line
	Prev     string
}

// Pack closes the segment at hand and returns all lines that are not packed.
func (j *Journal) Pack() (Pack, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		err := j.file.Close()
		j.file = nil
		if err != nil {
			return Pack{}, fmt.Errorf("close a journal segment: %w", err)
		}
	}
	names, err := j.segments()
	if err != nil {
		return Pack{}, err
	}
	p := Pack{Seq: j.seq, Prev: j.prev}
	for _, n := range names {
		s, err := j.read(n)
		if err != nil {
			return Pack{}, err
		}
		for _, l := range s.lines {
			p.Lines = append(p.Lines, l.raw)
		}
		j.spoilt[n] = s.broken > 0
		p.Segments = append(p.Segments, fmt.Sprintf("%06d", n))
	}
	return p, nil
}

// Forget removes segments whose lines are in a committed part. One in which a line was
// damaged goes to the quarantine: that line is nowhere else.
func (j *Journal) Forget(segments []string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reading.Lock()
	defer j.reading.Unlock()
	for _, s := range segments {
		n, err := strconv.Atoi(s)
		if err != nil || n == j.segment && j.file != nil {
			continue
		}
		if err := j.remove(n); err != nil {
			return err
		}
		delete(j.waiting, n)
	}
	return nil
}

// remove takes a segment away; mu is held.
func (j *Journal) remove(n int) error {
	if !j.spoilt[n] {
		return disk.RemoveSpent(j.fs, j.path(n))
	}
	there, err := disk.Exists(j.fs, j.path(n))
	if err == nil && there {
		_, err = disk.Quarantine(j.fs, filepath.Dir(j.dir), j.path(n))
	}
	return err
}

// Close closes the segment at hand.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// auditEvent is the FHIR form of a line: a valid AuditEvent with the line as it
// was written in entity.detail, marked as ours.
type auditEvent struct {
	ResourceType string           `json:"resourceType"`
	ID           string           `json:"id"`
	Meta         map[string]any   `json:"meta"`
	Type         map[string]any   `json:"type"`
	Recorded     time.Time        `json:"recorded"`
	Agent        []map[string]any `json:"agent"`
	Source       map[string]any   `json:"source"`
	Entity       []map[string]any `json:"entity"`
}

// AuditEvent returns a raw journal line as one line of FHIR.
func AuditEvent(raw []byte) ([]byte, error) {
	var l Line
	if err := json.Unmarshal(raw, &l); err != nil {
		return nil, errors.New("a journal line is not JSON")
	}
	who := l.Account
	if who == "" {
		who = "chartcellar"
	}
	return json.Marshal(auditEvent{
		ResourceType: "AuditEvent", ID: fmt.Sprintf("journal-%d", l.Seq),
		Meta:     map[string]any{"tag": []any{map[string]string{"system": "urn:chartcellar:line", "code": "journal"}}},
		Type:     map[string]any{"system": "urn:chartcellar:journal", "code": l.Code},
		Recorded: l.Time,
		Agent:    []map[string]any{{"who": map[string]string{"display": who}, "requestor": l.Account != ""}},
		Source:   map[string]any{"observer": map[string]string{"display": "chartcellar"}},
		Entity: []map[string]any{{"detail": []any{
			map[string]string{"type": "line", "valueString": string(raw)}}}},
	})
}

// Packed returns the number and the hash of the journal line inside a line that
// AuditEvent made.
func Packed(event []byte) (seq int64, sum string, ok bool) {
	raw, ok := written(event)
	if !ok {
		return 0, "", false
	}
	var l Line
	if json.Unmarshal(raw, &l) != nil {
		return 0, "", false
	}
	return l.Seq, hash(raw), true
}

// written returns the journal line inside a line that AuditEvent made.
func written(event []byte) (raw []byte, ok bool) {
	var e struct {
		Entity []struct {
			Detail []struct {
				ValueString string `json:"valueString"`
			} `json:"detail"`
		} `json:"entity"`
	}
	if json.Unmarshal(event, &e) != nil || len(e.Entity) != 1 || len(e.Entity[0].Detail) != 1 {
		return nil, false
	}
	return []byte(e.Entity[0].Detail[0].ValueString), true
}
