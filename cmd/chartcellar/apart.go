package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"chartcellar/config"
	"chartcellar/store"
)

// onlyBy says which second copies get a large file of which something was chosen before it
// came, by the settings as they are now: none means all.
func onlyBy(s config.Settings) func(store.Choice) []string {
	return func(c store.Choice) (only []string) {
		for _, name := range c.Holdings {
			h, ok := s.Holding(name)
			if !ok || len(h.Copies) == 0 {
				return nil
			}
			only = append(only, h.Copies...)
		}
		slices.Sort(only)
		return slices.Compact(only)
	}
}

// tellApart says which large files are not in a copy by choice, and reports whether they
// were not to be. Which copy it is, the runs say that went to this disk.
func (e *env) tellApart(m *store.Mirror, disk string) (good bool, err error) {
	files, err := m.Apart()
	if err != nil || len(files) == 0 {
		return true, err
	}
	place, err := placeOfDisk(m, disk)
	good = true
	for _, a := range store.Together(files) {
		switch {
		case place == "":
			e.printf("%s\n", a.Unsure())
		case slices.Contains(a.Copies, place):
			good = false
			e.printf("WRONG  %s. This is the copy %s; see also %s.\n", a.Missing(), place,
				strings.Join(slices.DeleteFunc(slices.Clone(a.Copies), func(c string) bool { return c == place }), " and "))
		default:
			e.printf("%s\n", a.Words())
		}
		e.printf("To have them here too, once this is the office copy: chartcellar repair --from %s\n", a.Copies[0])
	}
	return good, err
}

// printApart says which large files are not in a copy that is looked at, by choice.
func (e *env) printApart(to io.Writer, m *store.Mirror) error {
	files, err := m.Apart()
	for _, a := range store.Together(files) {
		fmt.Fprintln(to, a.Unsure())
	}
	return err
}

// placeOfDisk returns the name of the second copy that last went to a disk; "" if that is
// not known.
func placeOfDisk(m *store.Mirror, disk string) (string, error) {
	runs, err := m.Runs()
	if disk == "" {
		return "", err
	}
	for _, r := range runs {
		if r.Kind == copyRun && recordOfCopy(m, r).Disk == disk {
			return r.Source, nil
		}
	}
	return "", err
}
