package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"chartcellar/config"
	"chartcellar/store"
)

// A settingsRow is one state of the settings as `config history` lists it.
type settingsRow struct {
	Number int       `json:"number"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	// Wrong says why it cannot be read; "" if it can.
	Wrong string `json:"wrong,omitempty"`
}

// changedBy says who changed the settings.
func (r settingsRow) changedBy() string {
	switch r.By {
	case "":
		return "not known"
	case "file":
		return "edited by hand"
	}
	return r.By
}

func (e *env) configHistory(ctx context.Context, diff int) error {
	return e.withMirror(ctx, access{doing: "config history", key: true}, func(_ context.Context, _ config.Settings, m *store.Mirror) error {
		if diff != 0 {
			return e.settingsDiff(m, diff)
		}
		last, err := m.SettingsKept()
		if err != nil {
			return err
		}
		list := []settingsRow{}
		for n := 1; n <= last; n++ {
			k, err := m.ReadSettings(n)
			r := settingsRow{Number: n, At: k.At, By: k.By}
			switch {
			case errors.Is(err, store.ErrDamaged):
				r.Wrong = "damaged, or not signed by this mirror"
			case errors.Is(err, store.ErrNotFound):
				r.Wrong = "missing"
			case err != nil:
				return err
			}
			list = append(list, r)
		}
		if e.json {
			return e.printJSON(list)
		}
		if last == 0 {
			e.printf("No settings were kept yet: the next sync, or serve, keeps them.\n")
		}
		for _, r := range list {
			if r.Wrong != "" {
				e.printf("%4d  %s\n", r.Number, r.Wrong)
				continue
			}
			e.printf("%4d  %s  %s\n", r.Number, r.At.Local().Format("2006-01-02 15:04"), oneLine(r.changedBy()))
		}
		return nil
	})
}

// settingsDiff prints the lines in which one state of the settings differs from the one
// before.
func (e *env) settingsDiff(m *store.Mirror, n int) error {
	is, err := m.ReadSettings(n)
	if errors.Is(err, store.ErrNotFound) {
		return usage(fmt.Sprintf("there are no settings of number %d; see: chartcellar config history", n))
	}
	if err != nil {
		return err
	}
	was, err := m.ReadSettings(n - 1)
	if err != nil && !(n == 1 && errors.Is(err, store.ErrNotFound)) {
		return err
	}
	for _, line := range diffLines(linesOf(was.Text), linesOf(is.Text)) {
		e.printf("%s\n", line)
	}
	return nil
}

func linesOf(text []byte) (list []string) {
	for line := range strings.Lines(string(text)) {
		list = append(list, strings.TrimRight(line, "\r\n"))
	}
	return list
}

// diffLines returns the lines that are only in a, with "- " before them, and those only
// in b, with "+ ", in their order: those of the longest list of lines in both are left
// out.
func diffLines(a, b []string) (list []string) {
	same := make([][]int, len(a)+1) // lines in common from here on
	for i := range same {
		same[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			same[i][j] = max(same[i+1][j], same[i][j+1])
			if a[i] == b[j] {
				same[i][j] = same[i+1][j+1] + 1
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && same[i+1][j] >= same[i][j+1]:
			list = append(list, "- "+a[i])
			i++
		default:
			list = append(list, "+ "+b[j])
			j++
		}
	}
	return list
}
