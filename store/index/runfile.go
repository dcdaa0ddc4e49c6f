package index

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"

	"chartcellar/store/disk"
)

// A run file holds the entries of a part (after a rebuild of many) in the order of their keys, and
// their patients in the order of the patients. It is how many entries get into
// the index without a random write each: they are merged once, when the run
// ends (archive.md 5, builder a).
//
//	"ccrun001", count uint32, then count rows (key 16, value), then count rows
//	(patient 8, part 4, frame 2, line 2, type 1), numbers little endian.
const (
	runMagic   = "ccrun001"
	runHead    = len(runMagic) + 4
	runRow     = 16 + entryLen
	patientRow = 8 + 4 + 2 + 2 + 1
)

func compare(a, b *Entry) int {
	if c := bytes.Compare(a.Key[:], b.Key[:]); c != 0 {
		return c
	}
	switch x, y := a.order(), b.order(); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func (d *DB) runPath(n uint32) string {
	return filepath.Join(d.root, d.runs, fmt.Sprintf("%d.run", n))
}

// WriteRunFile writes the entries of part n, sorted by Sort, and syncs them.
// The file is only looked at once the part is committed with the hash that is
// returned here.
func (d *DB) WriteRunFile(n uint32, entries []Entry) (sum [32]byte, err error) {
	path := d.runPath(n)
	if err := d.fs.Mkdir(filepath.Dir(path)); err != nil {
		return sum, fmt.Errorf("make the folder of the run files: %w", err)
	}
	if err := disk.RemoveSpent(d.fs, path); err != nil {
		return sum, err
	}
	f, err := d.fs.Create(path)
	if err != nil {
		return sum, fmt.Errorf("create a run file: %w", err)
	}
	h := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, h), 256<<10)
	d.writeRows(w, entries)
	if err = w.Flush(); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.fs.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return sum, fmt.Errorf("write the run file of part %d: %w", n, err)
	}
	h.Sum(sum[:0])
	return sum, nil
}

// writeRows writes both lists; errors stay in w and show at Flush.
func (d *DB) writeRows(w *bufio.Writer, entries []Entry) {
	w.WriteString(runMagic)
	w.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(entries))))
	row := make([]byte, 0, runRow)
	for i := range entries {
		row = d.appendEntry(append(row[:0], entries[i].Key[:]...), &entries[i])
		w.Write(row)
	}
	for _, e := range byPatient(entries) {
		row = append(row[:0], e.Patient[:]...)
		row = binary.LittleEndian.AppendUint32(row, e.Part)
		row = binary.LittleEndian.AppendUint16(row, e.Frame)
		row = binary.LittleEndian.AppendUint16(row, e.Line)
		w.Write(append(row, e.Key.Type()))
	}
}

// A runFile is an open run file.
type runFile struct {
	d     *DB
	part  uint32
	f     disk.File
	count int
}

func (d *DB) openRunFile(n uint32) (*runFile, error) {
	f, err := d.fs.Open(d.runPath(n))
	if err != nil {
		return nil, fmt.Errorf("open the run file of part %d: %v: %w", n, err, ErrBad)
	}
	head := make([]byte, runHead)
	r := &runFile{d: d, part: n, f: f}
	_, err = f.ReadAt(head, 0)
	if err != nil || string(head[:len(runMagic)]) != runMagic {
		f.Close()
		return nil, fmt.Errorf("run file of part %d: %w", n, ErrBad)
	}
	r.count = int(binary.LittleEndian.Uint32(head[len(runMagic):]))
	return r, nil
}

// row returns row i of the entries.
func (r *runFile) row(i int, buf []byte) (Entry, error) {
	buf = buf[:runRow]
	if _, err := r.f.ReadAt(buf, int64(runHead+i*runRow)); err != nil {
		return Entry{}, fmt.Errorf("read the run file of part %d: %v: %w", r.part, err, ErrBad)
	}
	return r.d.parseEntry(buf[:16], buf[16:])
}

// find appends the entries of key.
func (r *runFile) find(key Key, to []Entry) ([]Entry, error) {
	buf := make([]byte, runRow)
	at, err := r.first(key, buf)
	for ; err == nil && at < r.count; at++ {
		e, err := r.row(at, buf)
		if err != nil {
			return nil, err
		}
		if e.Key != key {
			break
		}
		to = append(to, e)
	}
	return to, err
}

// first returns the first row whose key is not before this one.
func (r *runFile) first(key Key, buf []byte) (int, error) {
	lo, hi := 0, r.count
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		e, err := r.row(mid, buf)
		if err != nil {
			return 0, err
		}
		if bytes.Compare(e.Key[:], key[:]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// linesOf appends the places of the records of a patient.
func (r *runFile) linesOf(p Patient, to []Line) ([]Line, error) {
	buf := make([]byte, patientRow)
	row := func(i int) error {
		if _, err := r.f.ReadAt(buf, int64(runHead+r.count*runRow+i*patientRow)); err != nil {
			return fmt.Errorf("read the run file of part %d: %v: %w", r.part, err, ErrBad)
		}
		return nil
	}
	lo, hi := 0, r.count
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if err := row(mid); err != nil {
			return nil, err
		}
		if bytes.Compare(buf[:len(p)], p[:]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < r.count; lo++ {
		if err := row(lo); err != nil {
			return nil, err
		}
		of, line := patientAt(buf)
		if of != p {
			break
		}
		to = append(to, line)
	}
	return to, nil
}

// patientAt returns the patient and the place in a patient row.
func patientAt(row []byte) (Patient, Line) {
	le := binary.LittleEndian
	return Patient(row[:8]), Line{Loc{le.Uint32(row[8:]), le.Uint16(row[12:]),
		le.Uint16(row[14:])}, row[16]}
}

// rowBuffer is how much of a run file is read at once. A merge reads all files side
// by side, and a large pull leaves many.
const rowBuffer = 8 << 10

// A rowReader reads a list of a run file from its start.
type rowReader struct {
	r    *bufio.Reader
	left int
	row  []byte
}

func (r *runFile) entries(from int) *rowReader {
	at, n := int64(runHead)+int64(from)*runRow, int64(r.count-from)*runRow
	return &rowReader{bufio.NewReaderSize(io.NewSectionReader(r.f, at, n), rowBuffer),
		r.count - from, make([]byte, runRow)}
}

func (r *runFile) patients() *rowReader {
	at := int64(runHead) + int64(r.count)*runRow
	n := int64(r.count) * patientRow
	return &rowReader{bufio.NewReaderSize(io.NewSectionReader(r.f, at, n), rowBuffer),
		r.count, make([]byte, patientRow)}
}

// next returns the next row, valid until the one after; nil at the end.
func (r *rowReader) next() ([]byte, error) {
	if r.left == 0 {
		return nil, nil
	}
	r.left--
	if _, err := io.ReadFull(r.r, r.row); err != nil {
		return nil, fmt.Errorf("read a run file: %v: %w", err, ErrBad)
	}
	return r.row, nil
}
