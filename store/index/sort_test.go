package index

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

func someEntries(n int) []Entry {
	r := rand.New(rand.NewPCG(1, 2))
	list := make([]Entry, n)
	for i := range list {
		e := &list[i]
		for j := range e.Key {
			e.Key[j] = byte(r.UintN(4)) // many that are equal
		}
		e.Key[15] = byte(r.UintN(256))
		e.Patient[7] = byte(r.UintN(9))
		e.Loc = Loc{uint32(r.UintN(9)), uint16(r.UintN(9)), uint16(i)}
	}
	return list
}

func TestSort(t *testing.T) {
	list := someEntries(5000)
	want := slices.Clone(list)
	slices.SortFunc(want, func(a, b Entry) int { return compare(&a, &b) })
	Sort(list)
	if !slices.Equal(list, want) {
		t.Error("Sort does not give the order of compare")
	}
	sorted := byPatient(list)
	if !slices.IsSortedFunc(sorted, func(a, b *Entry) int {
		return cmp.Or(slices.Compare(a.Patient[:], b.Patient[:]), cmp.Compare(a.order(), b.order()))
	}) || len(sorted) != len(list) {
		t.Error("byPatient is not in the order of patient and place")
	}
}

func BenchmarkSort(b *testing.B) {
	list := someEntries(50_000)
	work := make([]Entry, len(list))
	for b.Loop() {
		copy(work, list)
		Sort(work)
	}
}
