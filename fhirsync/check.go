package fhirsync

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"

	"chartcellar/fhirsync/rest"
	"chartcellar/store"
	"chartcellar/store/scan"
)

// A Comparison is one record of the EMR beside the mirror's.
type Comparison struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	// State is equal, differs, only here (the EMR says it is not there), only
	// there (the mirror does not have it), withheld, or unread (it could not be read).
	State string `json:"state"`
	Here  []byte `json:"-"` // the mirror's bytes; nil if it has none
	There []byte `json:"-"` // the EMR's
}

// The states of a comparison.
const (
	Equal     = "equal"
	Differs   = "differs"
	OnlyHere  = "only here"
	OnlyThere = "only there"
	Withheld  = "withheld"
	Unread    = "unread"
)

// A Check compares the mirror with the EMR as it is now.
type Check struct {
	Client *rest.Client
	Mirror *store.Mirror
	Source string
	scan   *scan.Scanner
	snap   *store.Snapshot
}

// NewCheck prepares a check. The mirror must be unlocked.
func NewCheck(c *rest.Client, m *store.Mirror, source string) (*Check, error) {
	snap, err := m.Now()
	return &Check{c, m, source, scan.New([32]byte{}), snap}, err
}

// Sample draws n records of the mirror and reads each at the EMR. fn is called for
// each, in the order in which they were drawn. The error is one that ended the
// check.
func (c *Check) Sample(ctx context.Context, n int, r *rand.Rand, fn func(Comparison)) error {
	drawn, err := c.snap.Draw(ctx, c.Source, n, r)
	if err != nil {
		return err
	}
	for _, v := range drawn {
		one, err := c.one(ctx, v)
		if err != nil {
			return err
		}
		fn(one)
	}
	return nil
}

// one reads one record of the mirror at the EMR.
func (c *Check) one(ctx context.Context, v store.Version) (Comparison, error) {
	out := Comparison{Type: v.Type, ID: v.ID, Here: v.Raw}
	body, state, err := c.Client.Read(ctx, v.Type, v.ID)
	switch {
	case err != nil && stops(ctx, err):
		return out, err
	case rest.Is(err, rest.Forbidden):
		out.State = Withheld
	case err != nil:
		out.State = Unread
	case state != rest.Found:
		out.State = OnlyHere
	default:
		out.There = body
		out.State = c.compare(v.Raw, body)
	}
	return out, nil
}

// compare compares two states of a record as the mirror does: white space and the
// server's own version label do not count.
func (c *Check) compare(here, there []byte) string {
	a, err := c.Mirror.Fingerprint(here)
	if err != nil {
		return Unread
	}
	b, err := c.Mirror.Fingerprint(there)
	switch {
	case err != nil:
		return Unread
	case a == b:
		return Equal
	}
	return Differs
}

// Patient compares one patient whole: every record of his here is read at the
// EMR, and the EMR's searches for the types are asked what it has of him. fn is
// called for each record. left are the types that the EMR could not be asked for.
func (c *Check) Patient(ctx context.Context, id string, types []string, fn func(Comparison)) (left []string, err error) {
	here := map[string]store.Version{}
	err = c.snap.Compartment(ctx, c.Source, id, func(v store.Version) error {
		here[v.Key.String()] = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, t := range types {
		if t == "Patient" {
			continue
		}
		asked, err := c.searchPatient(ctx, t, id, here, there, fn)
		if err != nil {
			return nil, err
		}
		if !asked {
			left = append(left, t)
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(here)) {
		if there[ref] {
			continue
		}
		one, err := c.one(ctx, here[ref])
		if err != nil {
			return nil, err
		}
		fn(one)
	}
	return left, nil
}

// searchPatient compares what a search of one type finds of a patient. asked is
// false if the EMR does not answer it.
func (c *Check) searchPatient(ctx context.Context, typ, patient string, here map[string]store.Version, there map[string]bool, fn func(Comparison)) (asked bool, err error) {
	addr := rest.Query(typ, url.Values{"patient": {patient}, "_count": {"100"}})
	for pages := 0; addr != "" && pages < maxPages; pages++ {
		p, err := c.Client.Page(ctx, addr, "search of "+typ+" of a patient", false)
		if err != nil && stops(ctx, err) {
			return false, err
		}
		if err != nil || pages == 0 && p.Self != "" && !selfHas(p.Self, url.Values{"patient": {patient}}) {
			return false, nil
		}
		for _, e := range matches(p) {
			f, err := c.scan.Facts(e.Resource)
			if err != nil || string(f.Type) != typ {
				continue
			}
			ref := typ + "/" + string(f.ID)
			if there[ref] {
				continue
			}
			there[ref] = true
			one := Comparison{Type: typ, ID: string(f.ID), State: OnlyThere, There: bytes.Clone(e.Resource)}
			if v, ok := here[ref]; ok {
				one.Here, one.State = v.Raw, c.compare(v.Raw, e.Resource)
			}
			fn(one)
		}
		addr = p.Next
	}
	return true, nil
}

// Confidence says what a sample without a fault proves: with 95 of 100, fewer
// than this share of the records differ (1 - 0.05^(1/n)).
func Confidence(n int) string {
	if n == 0 {
		return "nothing"
	}
	share := 100 * min(1, 3/float64(n))
	return fmt.Sprintf("with 95 of 100, fewer than %.2g %% of the records differ", share)
}
