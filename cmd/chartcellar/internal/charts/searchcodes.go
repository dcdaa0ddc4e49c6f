package charts

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"sync"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/chart"
)

// keptCodes is how many codes a search keeps.
const keptCodes = 500

// codeFinds are the codes that fit words, with how many records and patients have them.
type codeFinds struct {
	r     *Room
	terms *chart.CodeSearch

	// mu covers what follows.
	mu    sync.Mutex
	codes map[codeID]*codeCount
	more  int // of further codes: records
	// numbers of patients, so that a patient is one bit of each code
	numbers map[patientID]int
}

// A codeID is a code in one type of record.
type codeID struct {
	typ string
	chart.Coding
}

type codeCount struct {
	records  int
	patients []uint64 // a bit for each
}

// newCodes makes a search for codes.
func (r *Room) newCodes(s *search) (finds, string, error) {
	t := terms(s.ask)
	codes, err := t.CodeSearch(chart.AnyCode)
	if err != nil {
		return nil, "", err
	}
	if s.scans, s.lacks, err = r.newScans(s.ask, codes.Types()); err != nil {
		return nil, "", err
	}
	return &codeFinds{r: r, terms: codes, codes: map[codeID]*codeCount{}, numbers: map[patientID]int{}}, t.String(), nil
}

// run implements finds.
func (f *codeFinds) run(ctx context.Context, s *search) error {
	for _, scan := range s.scans {
		matchers := codeMatchers(ctx, s, scan, f.terms)
		err := s.through(ctx, scan, func(w int, rec chart.Resource) error {
			if coded := matchers[w].Match(rec); len(coded.Codings) > 0 && !coded.Void && !s.closed(ctx, scan.Reading, rec) {
				f.add(patientID{scan.Source, PatientOf(rec.Raw)}, rec.Type, coded.Codings)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// codeMatchers returns one for each goroutine of a scan.
func codeMatchers(ctx context.Context, s *search, scan *Scan, terms *chart.CodeSearch) (list []*chart.CodeMatcher) {
	for range scan.AtOnce() {
		list = append(list, terms.Matcher(names(ctx, viewer.Actor{Sensitive: s.sensitive}, scan.Reading)))
	}
	return list
}

func (f *codeFinds) add(patient patientID, typ string, codings []chart.Coding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range codings {
		id := codeID{typ, c}
		n := f.codes[id]
		if n == nil {
			if len(f.codes) == keptCodes {
				f.more++
				continue
			}
			n = &codeCount{}
			f.codes[id] = n
		}
		n.records++
		if patient.id != "" {
			n.count(f.number(patient))
		}
	}
}

// number returns the number of a patient. The caller holds mu.
func (f *codeFinds) number(p patientID) int {
	n, ok := f.numbers[p]
	if !ok {
		n = len(f.numbers)
		f.numbers[p] = n
	}
	return n
}

func (c *codeCount) count(patient int) {
	for len(c.patients) <= patient/64 {
		c.patients = append(c.patients, 0)
	}
	c.patients[patient/64] |= 1 << (patient % 64)
}

// page implements finds. Codes name no patient.
func (f *codeFinds) page(_ context.Context, _ viewer.Actor, out *viewer.SearchResult, rows int) ([]shown, error) {
	sealed, err := f.r.sealed()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range sealed {
		if _, counted := f.numbers[p]; counted {
			return nil, &viewer.Refusal{Words: "A patient whose records were counted here has been sealed since. Search again."}
		}
	}
	var list []viewer.CodeRow
	for id, n := range f.codes {
		row := viewer.CodeRow{Coding: id.Coding, Type: id.typ, Records: n.records}
		for _, w := range n.patients {
			row.Patients += bits.OnesCount64(w)
		}
		list = append(list, row)
	}
	slices.SortFunc(list, func(a, b viewer.CodeRow) int {
		return cmp.Or(b.Patients-a.Patients, b.Records-a.Records, cmp.Compare(a.Words, b.Words), cmp.Compare(a.Type+" "+a.Term(), b.Type+" "+b.Term()))
	})
	out.Found, out.More = len(list), f.more
	out.Codes = list[min(out.From, len(list)):min(out.From+rows, len(list))]
	return nil, nil
}
