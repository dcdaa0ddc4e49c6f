package fhirsync

import (
	"maps"
	"time"
)

// A Certificate says, type by type, how complete the copy is and by what that was
// found. Its bytes stand in the run's closing part, and their SHA-256 in the signed
// checkpoint. It holds counts and types only, nothing of any patient.
type Certificate struct {
	Kind    string          `json:"kind"` // "chartcellar completeness certificate 1"
	Source  string          `json:"source"`
	Run     uint32          `json:"run"`
	Verdict Verdict         `json:"verdict"`
	Started time.Time       `json:"started"`
	Ended   time.Time       `json:"ended"`
	Server  string          `json:"server"` // the EMR's software, as it names itself
	Types   []CertifiedType `json:"types"`
	Records int             `json:"records"` // here, of all types
	Gaps    map[string]int  `json:"gaps"`    // open gaps by kind
	Files   Attached        `json:"attachments"`
	// Withheld are records that the EMR did not let us read; Dangling those that
	// others name and that it does not have.
	Withheld int      `json:"withheld"`
	Dangling int      `json:"dangling"`
	Limits   []string `json:"limits"` // what this certificate does not say
}

// A CertifiedType is one row of a certificate.
type CertifiedType struct {
	Type string `json:"type"`
	Mode string `json:"mode"`
	// EMR is how many the EMR has, by Basis: count (it was asked), manifest (it
	// announced so many and they came), listing (its pages were read to the end and
	// checked). -1, with basis none: it cannot be told.
	EMR        int    `json:"emr"`
	Basis      string `json:"basis"`
	Here       int    `json:"here"`
	Difference int    `json:"difference"` // EMR less here; 0 if it cannot be told
	Reason     string `json:"reason,omitempty"`
	Gap        string `json:"gap,omitempty"`
	Held       string `json:"held,omitempty"`
}

// Certificate makes the certificate of a finished report.
func (r *Report) Certificate() Certificate {
	c := Certificate{Kind: "chartcellar completeness certificate 1", Source: r.Source, Run: r.Run, Verdict: r.Verdict,
		Started: r.Started, Ended: r.Ended, Server: r.Offered.Software, Types: []CertifiedType{}, Gaps: map[string]int{},
		Files: r.Attachments, Withheld: r.Withheld, Dangling: len(r.Dangling)}
	rows := r.Types
	if r.Interrupted() {
		rows = nil // nothing was compared
	}
	for _, t := range rows {
		row := certify(t)
		c.Types = append(c.Types, row)
		c.Records += row.Here
	}
	maps.Copy(c.Gaps, r.GapKinds)
	c.Limits = r.limits()
	return c
}

func certify(t TypeRow) CertifiedType {
	row := CertifiedType{Type: t.Type, Mode: t.Mode, EMR: -1, Basis: "none", Here: t.Mirror, Reason: t.Reason, Gap: t.Gap, Held: t.Held}
	whole := t.Full && t.Verified && (t.Gap == "" || t.GapKind == "line")
	switch {
	case t.Server >= 0:
		row.EMR, row.Basis = t.Server, "count"
	case whole && t.Mode == "bulk":
		row.EMR, row.Basis = t.Listed, "manifest"
	case whole:
		row.EMR, row.Basis = t.Listed, "listing"
	}
	if row.EMR >= 0 {
		row.Difference = row.EMR - row.Here
	}
	return row
}

// limits says what was not looked at.
func (r *Report) limits() []string {
	list := []string{"It speaks of what the EMR's FHIR interface offers, not of the whole record."}
	switch {
	case r.Interrupted():
		list = append(list, "The run was broken off: nothing was compared.")
	case !r.Full:
		list = append(list, "This run asked for changes. Only a full run compares every record.")
	}
	if r.PartlyResolved {
		list = append(list, "Not every record that others name was looked up.")
	}
	return list
}
