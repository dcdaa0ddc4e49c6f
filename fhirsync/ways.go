package fhirsync

import (
	"slices"

	"chartcellar/fhirsync/rest"
)

// A Way is how one type is fetched, and why so, in words.
type Way struct {
	Mode string `json:"mode"` // bulk, search (changes by _lastUpdated), listing (everything each time), none
	Why  string `json:"why"`
	Gap  string `json:"gap,omitempty"` // why the type is not complete even so
}

// Facts are what a way is chosen by.
type Facts struct {
	Wish        string // auto, bulk, search
	Exports     bool   // the EMR announces an export, at any level
	NotExported bool   // it has refused to export this type
	Searchable  bool   // it announces a search of this type
	LastUpdated Answer // what its search does with _lastUpdated
}

// Choose says how a type is fetched: a pure function.
func Choose(f Facts) Way {
	if f.Wish == "bulk" || f.Wish == "auto" && f.Exports {
		switch {
		case !f.NotExported:
			return Way{Mode: "bulk", Why: "the EMR exports it"}
		case f.Wish == "bulk" || !f.Searchable:
			return Way{Mode: "none", Why: notExported, Gap: notExported}
		}
	}
	why := "the EMR announces no export"
	switch {
	case f.Wish == "search":
		why = "the settings say so"
	case f.NotExported:
		why = notExported
	}
	switch {
	case !f.Searchable:
		return Way{Mode: "none", Why: why + ", and no search either", Gap: "the EMR offers no way to fetch it"}
	case f.LastUpdated == Ignored:
		return Way{Mode: "listing", Why: why + "; its search passes over the question for changes",
			Gap: "the EMR's search does not say what has changed, and may leave records out: this type needs a pull patient by patient, which this release does not have"}
	case f.LastUpdated == Yes:
		return Way{Mode: "search", Why: why}
	}
	return Way{Mode: "listing", Why: why + "; it cannot be asked for changes, so everything is listed each time"}
}

const notExported = "the EMR does not export it"

// facts gathers what the way of a type is chosen by.
func (s *syncer) facts(t string, c rest.Capability, last *Report) Facts {
	f := Facts{Wish: s.o.Source.Mode, Exports: c.Export.System || c.Export.Patient || c.Export.Group,
		Searchable: slices.Contains(c.Search, t), LastUpdated: s.profile.LastUpdated[t]}
	// A full run asks again for what was refused.
	f.NotExported = last != nil && !s.o.Full && slices.Contains(last.NotExported, t)
	return f
}
