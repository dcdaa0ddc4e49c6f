package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// An Edit changes one setting in the text of a file, and nothing else in it:
// remarks and order stay.
type Edit struct {
	// Section is "" for the settings at the top, "alerts", "source NAME", "copy NAME" or "holding NAME".
	Section string
	Key     string
	Value   any // string, bool, int, int64 or []string
}

// Apply returns the file with the edits made, checked like a file that is read.
func Apply(file []byte, edits ...Edit) ([]byte, error) {
	lines := strings.Split(string(file), "\n")
	for _, e := range edits {
		var err error
		if lines, err = e.apply(lines); err != nil {
			return nil, err
		}
	}
	out := []byte(strings.Join(lines, "\n"))
	_, err := Parse(out)
	return out, err
}

// apply replaces the line of the key in its section, or adds it behind the
// section's head.
func (e Edit) apply(lines []string) ([]string, error) {
	from, to, err := e.section(lines)
	if errors.Is(err, ErrNoSection) && e.Section == "alerts" { // an older file may lack it
		lines = append(lines, "["+e.Section+"]", "")
		from, to, err = e.section(lines)
	}
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("%s = %s", e.Key, tomlValue(e.Value))
	for i := from; i < to; i++ {
		name, value, ok := strings.Cut(lines[i], "=")
		if !ok || strings.TrimSpace(name) != e.Key {
			continue
		}
		if strings.Count(value, "[") > strings.Count(value, "]") || strings.Contains(value, `"""`) {
			return nil, fmt.Errorf("%s goes over several lines in the settings; change it there by hand", e.Key)
		}
		lines[i] = text + remarkOf(value)
		return lines, nil
	}
	return append(lines[:from:from], append([]string{text}, lines[from:]...)...), nil
}

// remarkOf returns the remark behind a value, with the blanks before it.
func remarkOf(value string) string {
	quoted := false
	for i, c := range value {
		switch {
		case c == '"' && (i == 0 || value[i-1] != '\\'):
			quoted = !quoted
		case c == '#' && !quoted:
			return " " + value[i:]
		}
	}
	return ""
}

// section returns the lines of a section, without its head.
func (e Edit) section(lines []string) (from, to int, err error) {
	kind, name, several := strings.Cut(e.Section, " ")
	from = -1
	if e.Section == "" {
		from = 0
	}
	for i, line := range lines {
		head := strings.TrimSpace(line)
		if !strings.HasPrefix(head, "[") || strings.Contains(head, "=") {
			continue
		}
		if from >= 0 {
			if !several || hasName(lines[from:i], name) {
				return from, i, nil
			}
			from = -1
		}
		if several && strings.HasPrefix(head, "[["+kind+"]]") || head == "["+e.Section+"]" {
			from = i + 1
		}
	}
	if from >= 0 && (!several || hasName(lines[from:], name)) {
		return from, len(lines), nil
	}
	return 0, 0, fmt.Errorf("the settings have no section for %s: %w", e.Section, ErrNoSection)
}

// ErrNoSection says that a file lacks a section.
var ErrNoSection = errors.New("no such section")

// hasName reports whether the lines of a section give it this name.
func hasName(lines []string, name string) bool {
	for _, l := range lines {
		key, value, ok := strings.Cut(l, "=")
		if ok && strings.TrimSpace(key) == "name" {
			value, _, _ = strings.Cut(value, "#")
			got, err := strconv.Unquote(strings.TrimSpace(value))
			return err == nil && got == name
		}
	}
	return false
}

func tomlValue(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []string:
		return "[" + quoted(v) + "]"
	}
	return fmt.Sprint(v)
}
