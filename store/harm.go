package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"chartcellar/store/index"
)

// A Harm is what damaged, missing or lost files come to in the doctor's words: which
// records, of how many patients, of which days.
type Harm struct {
	// Versions are the states of records that the files hold, by type; Newest those
	// of them that are what the mirror shows today. The rest is history.
	Versions map[string]int `json:"versions"`
	Newest   map[string]int `json:"newest"`
	// Attachments are documents and pictures; Log says that lines of the journal, such
	// as who looked at what, are among what the files hold.
	Attachments int `json:"attachments"`
	// Kept are files of holdings.
	Kept     int  `json:"kept,omitempty"`
	Log      bool `json:"log"`
	Patients int  `json:"patients"` // to whom that belongs
	// From and To are between which times it was fetched, by this computer's clock;
	// zero if nothing was.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`

	of map[index.Patient]bool
}

// Has reports whether something of a patient is concerned.
func (h Harm) Has(m *Mirror, source, patient string) bool {
	return h.of[m.index.Hasher(source).Patient([]byte(patient))]
}

// A harmed looks up what some files hold.
type harmed struct {
	m     *Mirror
	h     Harm
	parts map[uint32]*index.Part
	files map[string]bool
	other map[uint32]int // lines of a part that are of no record
}

// Harm says what the files named, as Broken and package verify name them, come to.
// It goes through the whole index once, and needs no key.
func (m *Mirror) Harm(ctx context.Context, files []string) (Harm, error) {
	w := &harmed{m: m, parts: map[uint32]*index.Part{}, files: map[string]bool{}, other: map[uint32]int{},
		h: Harm{Versions: map[string]int{}, Newest: map[string]int{}, of: map[index.Patient]bool{}}}
	for _, f := range files {
		w.files[f] = true
	}
	err := m.index.EachPart(w.part)
	if err == nil && len(w.parts) > 0 {
		err = m.index.EachVersion(ctx, m.index.States(), w.version)
	}
	if err == nil {
		err = w.attachments()
	}
	for _, n := range w.other {
		w.h.Log = w.h.Log || n > 0
	}
	w.h.Patients = len(w.h.of)
	return w.h, err
}

// part notes a part, and when what it or its attachment files hold was fetched.
func (w *harmed) part(p index.Part) error {
	lost := w.files[partFile(p.Number)]
	if lost {
		w.parts[p.Number], w.other[p.Number] = &p, p.Lines
	}
	if !lost && !slices.ContainsFunc(p.Files, func(f index.File) bool { return w.files[f.Name] }) {
		return nil
	}
	r, known := w.m.index.Head(p.Run)
	if !known || r.Kind != "sync" {
		return nil
	}
	to := r.Ended
	if to.IsZero() {
		to = r.Started
	}
	if w.h.From.IsZero() || r.Started.Before(w.h.From) {
		w.h.From = r.Started
	}
	if to.After(w.h.To) {
		w.h.To = to
	}
	return nil
}

func (w *harmed) version(e *index.Entry, current bool) {
	if w.parts[e.Part] == nil {
		return
	}
	w.other[e.Part]--
	if e.Flags&index.Duplicate != 0 {
		return
	}
	typ := index.TypeName(e.Key.Type())
	w.h.Versions[typ]++
	if current && e.Flags&index.Tombstone == 0 {
		w.h.Newest[typ]++
	}
	w.h.note(e.Patient)
}

func (h *Harm) note(p index.Patient) {
	if p != (index.Patient{}) {
		h.of[p] = true
	}
}

// attachments counts those whose content is in the files, and finds whose they are.
func (w *harmed) attachments() error {
	gone := map[index.BlobName]bool{}
	err := w.m.index.EachBlob(func(b index.Blob) {
		switch {
		case b.File != nil:
			gone[b.Name] = w.files[b.File.Name]
		case w.parts[b.Part] != nil:
			gone[b.Name] = true
			w.other[b.Part]--
		}
	})
	if err != nil {
		return err
	}
	kept, err := w.kept(gone)
	if err != nil {
		return err
	}
	var keys []index.Key
	err = w.m.index.EachLink(func(l index.Link) {
		kept[l.Name] = false
		if w.parts[l.Part] != nil {
			w.other[l.Part]--
		}
		if gone[l.Name] {
			keys = append(keys, w.m.index.Hasher(l.Source).Key([]byte(l.Type), []byte(l.ID)))
		}
	})
	if err != nil {
		return err
	}
	for name, yes := range gone {
		if yes && !kept[name] {
			w.h.Attachments++
		}
	}
	return w.m.index.Newest(keys, true, func(_ int, e index.Entry, found bool) error {
		if found {
			w.h.note(e.Patient)
		}
		return nil
	})
}

// kept counts the files of holdings whose content is in the files, and returns those
// contents.
func (w *harmed) kept(gone map[index.BlobName]bool) (map[index.BlobName]bool, error) {
	names := map[index.BlobName]bool{}
	list, err := w.m.index.KeptFiles("")
	for _, f := range list {
		if w.parts[f.Part] != nil {
			w.other[f.Part]--
		}
		if gone[f.Name] && !names[f.Name] {
			names[f.Name] = true
			w.h.Kept++
		}
	}
	return names, err
}

// Words say it in sentences; "" if the files hold nothing of the EMR's and no log.
func (h Harm) Words() string {
	var list []string
	records, newest := sumOf(h.Versions), sumOf(h.Newest)
	if records > 0 {
		s := "Concerned: " + counted(records, "state of a record", "states of records") + " (" + byType(h.Versions) + ")"
		switch {
		case newest == 0:
			s += ", all of them older ones: the newest state of each record is good"
		case newest < records:
			s += ", " + fmt.Sprint(newest) + " of them the newest one"
		}
		list = append(list, s)
	}
	if h.Attachments > 0 {
		list = append(list, "Concerned: "+counted(h.Attachments, "document or picture", "documents and pictures"))
	}
	if h.Kept > 0 {
		list = append(list, "Concerned: "+counted(h.Kept, "file kept beside the records", "files kept beside the records"))
	}
	if h.Patients > 0 {
		list = append(list, "They belong to "+counted(h.Patients, "patient", "patients"))
	}
	if !h.From.IsZero() && len(list) > 0 {
		list = append(list, "They were fetched from the EMR "+span(h.From, h.To))
	}
	if h.Log {
		list = append(list, "Lines of the log of what was done are among them")
	}
	if len(list) == 0 {
		return ""
	}
	return strings.Join(list, ". ") + "."
}

func sumOf(types map[string]int) (n int) {
	for _, k := range types {
		n += k
	}
	return n
}

func byType(types map[string]int) string {
	var list []string
	for _, t := range slices.Sorted(maps.Keys(types)) {
		name := t
		if name == "" {
			name = "other"
		}
		list = append(list, fmt.Sprintf("%d %s", types[t], name))
	}
	return strings.Join(list, ", ")
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// span says between which days.
func span(from, to time.Time) string {
	a, b := from.Local().Format("2 January 2006"), to.Local().Format("2 January 2006")
	if a == b {
		return "on " + a
	}
	return "between " + a + " and " + b
}
