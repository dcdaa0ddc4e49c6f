package patientfile

import (
	"context"
	"fmt"
	"io"
	"slices"

	"chartcellar/store/chart"
)

// A bundle is a FHIR Bundle that is being written. The bytes of each record are those that
// the EMR gave.
type bundle struct {
	w       io.Writer
	base    string // of full addresses; "": none are written
	entries int
}

// begin writes what stands before the records.
func (b *bundle) begin(made string) error {
	_, err := fmt.Fprintf(b.w, `{"resourceType":"Bundle","type":"collection","timestamp":%s,"entry":[`, quoted(made))
	return err
}

// add writes one record.
func (b *bundle) add(r chart.Resource) error {
	head := ",\n{"
	if b.entries == 0 {
		head = "\n{"
	}
	b.entries++
	if b.base != "" {
		head += `"fullUrl":` + quoted(b.base+"/"+r.Ref()) + ","
	}
	for _, part := range [][]byte{[]byte(head + `"resource":`), r.Raw, []byte("}")} {
		if _, err := b.w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// end writes what stands behind them.
func (b *bundle) end() error {
	_, err := io.WriteString(b.w, "\n]}\n")
	return err
}

// shared are the types of records that belong to no patient and without which those of a
// patient say less: who, where, and which medicine.
var shared = []string{"Practitioner", "PractitionerRole", "Organization", "Location", "Medication", "HealthcareService"}

// records writes the taken records, and behind them the shared ones that they name.
func (z *packer) records(ctx context.Context, w io.Writer, from Patient) error {
	o, err := from.Options(ctx)
	if err != nil {
		return err
	}
	if !z.p.Sensitive {
		o.Names = chart.Open(o.Names)
	}
	b := &bundle{w: w, base: z.p.Base}
	if err := b.begin(z.p.Made.Format("2006-01-02T15:04:05Z07:00")); err != nil {
		return err
	}
	var n Count
	var queue []chart.Resource // named, and not written yet
	seen := map[string]bool{}
	_, err = from.Each(ctx, func(r chart.Resource) error {
		if !z.p.Take(r, &n) {
			return nil
		}
		queue = append(queue, z.toFind(r, seen)...)
		return b.add(r)
	})
	for ; err == nil && len(queue) > 0 && o.Names != nil; queue = queue[1:] {
		r := queue[0]
		var found bool
		if r.Raw, found = o.Names.Find(r.Type, r.ID); !found {
			continue
		}
		if err = ctx.Err(); err == nil {
			z.named++
			queue = append(queue, z.toFind(r, seen)...)
			err = b.add(r)
		}
	}
	if err != nil {
		return err
	}
	return b.end()
}

// toFind returns the shared records that a record names and that were not seen yet.
func (z *packer) toFind(r chart.Resource, seen map[string]bool) (list []chart.Resource) {
	links, err := chart.Links(r.Raw)
	if err != nil {
		return nil // it cannot be gone through: it is in the bundle as it is
	}
	for _, l := range links {
		other := chart.Resource{Type: l.Type, ID: l.ID}
		if !slices.Contains(shared, l.Type) || seen[other.Ref()] || !chart.Own(l.Base, z.p.Base) {
			continue
		}
		seen[other.Ref()] = true
		list = append(list, other)
	}
	return list
}
