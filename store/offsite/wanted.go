package offsite

import (
	"slices"
	"strings"

	"chartcellar/store"
)

// Wanted returns the files of a mirror that belong to a place, in the order of its
// Inventory, and those that do not by choice. What is there already belongs there.
func Wanted(m Mirror, c *Contents, o Options) (list []store.SealedFile, apart []store.Apart, err error) {
	if list, err = m.Inventory(); err != nil || o.Only == nil {
		return list, nil, err
	}
	chosen, err := m.Chosen()
	list = slices.DeleteFunc(list, func(f store.SealedFile) bool {
		a, is := chosen[f.Name]
		if _, there := c.Size(f.Name); !is || there {
			return false
		}
		only := o.Only(a.Choice)
		if len(only) == 0 || slices.Contains(only, o.Place) {
			return false
		}
		a.Copies = only
		apart = store.AddApart(apart, a)
		return true
	})
	return list, apart, err
}

// withApart adds to what was not checked what is not there by choice.
func withApart(notChecked string, apart []store.Apart) string {
	for _, a := range apart {
		notChecked += " " + a.Words()
	}
	return strings.TrimSpace(notChecked)
}
