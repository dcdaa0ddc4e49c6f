package index

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// A handle is what entries are sorted by: the first bytes of what decides, and
// where the entry is. Handles are moved many times, entries once.
type handle struct {
	first, second uint64
	at            uint32
}

// Sort sorts the entries of one part by key and place.
func Sort(entries []Entry) {
	list := make([]handle, len(entries))
	for i := range entries {
		k := &entries[i].Key
		list[i] = handle{binary.BigEndian.Uint64(k[:8]), binary.BigEndian.Uint64(k[8:]), uint32(i)}
	}
	slices.SortFunc(list, func(a, b handle) int {
		switch {
		case a.first != b.first:
			return order(a.first, b.first)
		case a.second != b.second:
			return order(a.second, b.second)
		}
		return order(entries[a.at].order(), entries[b.at].order())
	})
	arrange(entries, list)
}

// arrange brings the entries into the order of their handles, without a second
// list of them.
func arrange(entries []Entry, list []handle) {
	for i := range list {
		if list[i].at == uint32(i) {
			continue
		}
		first, to := entries[i], uint32(i)
		for {
			from := list[to].at
			list[to].at = to
			if from == uint32(i) {
				entries[to] = first
				break
			}
			entries[to], to = entries[from], from
		}
	}
}

// byPatient returns the entries that have a patient behind those that have none,
// in the order of patient and place.
func byPatient(entries []Entry) []*Entry {
	list := make([]handle, len(entries))
	for i := range entries {
		e := &entries[i]
		list[i] = handle{binary.BigEndian.Uint64(e.Patient[:]), e.order(), uint32(i)}
	}
	slices.SortFunc(list, func(a, b handle) int {
		if a.first != b.first {
			return order(a.first, b.first)
		}
		return order(a.second, b.second)
	})
	sorted := make([]*Entry, len(entries))
	for i, h := range list {
		sorted[i] = &entries[h.at]
	}
	return sorted
}

func order(a, b uint64) int { return cmp.Compare(a, b) }
