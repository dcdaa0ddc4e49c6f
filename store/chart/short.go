package chart

import "slices"

// Short returns the chart with its long lists shortened, to at most so many rows (0: as
// many as fit the list): a Group whose Total is larger than its rows says so. What must
// not be overlooked is not shortened. The chart itself stays as it is.
func (c *Chart) Short(most int) *Chart {
	out := *c
	out.Sections = slices.Clone(c.Sections)
	for i := range out.Sections {
		out.Sections[i] = c.Sections[i].short(most)
	}
	return &out
}

// Past reports whether what the group holds is over: a summary may fold it.
func (g Group) Past() bool {
	return slices.Contains([]string{"Inactive or resolved", "Stopped or completed", "Superseded"}, g.Title)
}

func (s Section) short(most int) Section {
	if s.Key == "other" {
		return s.byKind()
	}
	plans := plans()
	at := slices.IndexFunc(plans, func(p plan) bool { return p.key == s.Key })
	if at < 0 {
		return s
	}
	p := &plans[at]
	s.Groups = slices.Clone(s.Groups)
	for i := range s.Groups {
		limit := p.limits[slices.Index(p.groups, s.Groups[i].Title)]
		if most > 0 {
			limit = min(limit, most)
		}
		if s.Key == "results" {
			s.Groups[i].Rows = flaggedFirst(s.Groups[i].Rows)
		}
		if limit > 0 && len(s.Groups[i].Rows) > limit {
			s.Groups[i].Rows = s.Groups[i].Rows[:limit:limit]
		}
	}
	return s
}

// byKind folds the records that no other section shows into one row for each kind.
func (s Section) byKind() Section {
	var out []Group
	for _, g := range s.Groups {
		short := Group{Title: g.Title}
		for _, r := range g.Rows {
			n := len(short.Rows)
			if n == 0 || short.Rows[n-1].Cells[0] != r.Cells[0] {
				short.Rows = append(short.Rows, Row{Cells: []string{r.Cells[0], ""}})
				n++
			}
			last := &short.Rows[n-1]
			last.Records += r.Records
			last.Cells[1] = count(last.Records, "record")
		}
		short.Total = len(short.Rows)
		out = append(out, short)
	}
	s.Groups = out
	return s
}

// flaggedFirst puts the results that have a flag before those that have none, so that
// none of them is cut off.
func flaggedFirst(rows []Row) []Row {
	rows = slices.Clone(rows)
	flag := func(r Row) int {
		if r.Cells[2] == "" || r.Cells[2] == flagWords["N"].word {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return flag(a) - flag(b) })
	return rows
}
