package chart

// A plan says how one section is made.
type plan struct {
	key, title string
	types      []string
	columns    []string
	brief      []int // columns that a summary shows; always those that say it was not so
	groups     []string
	limits     []int // rows shown of each group; 0: all
	oldFirst   bool  // group 0 is in order of time
	read       func(*Builder, Resource) (item, error)
}

// plans are the sections in their order. vitals and results share a type: a
// reader of one that finds the other's record says errElsewhere.
func plans() []plan {
	return []plan{
		{key: "allergies", title: "ALLERGIES", types: []string{"AllergyIntolerance"},
			columns: []string{"substance", "status", "risk", "reaction", "since"}, brief: []int{0, 1, 2, 3},
			groups: []string{"", "Inactive, resolved or refuted"}, limits: []int{0, 10}, read: allergy},
		{key: "problems", title: "PROBLEMS", types: []string{"Condition"},
			columns: []string{"problem", "status", "since", "code"}, brief: []int{0, 1, 2},
			groups: []string{"Active", "No status given", "Inactive or resolved", "Refuted"},
			limits: []int{0, 20, 10, 10}, read: problem},
		{key: "medicines", title: "MEDICINES", types: []string{"MedicationRequest", "MedicationStatement"},
			columns: []string{"medicine", "directions", "status", "since", "by"}, brief: []int{0, 1, 2},
			groups: []string{"NOT to be given", "Current", "Planned, proposed or of unknown status",
				"Stopped or completed"},
			limits: []int{0, 0, 20, 10}, read: medicine},
		{key: "results", title: "RESULTS", types: []string{"Observation"},
			columns: []string{"test", "latest", "flag", "range of this result", "on", "earlier"}, brief: []int{0, 1, 2, 4},
			groups: []string{"Laboratory", "Other", "Social history and questionnaires"},
			limits: []int{40, 15, 15}, read: result},
		{key: "vitals", title: "VITAL SIGNS", types: []string{"Observation"},
			columns: []string{"measure", "latest", "flag", "range of this result", "on", "earlier"}, brief: []int{0, 1, 2, 4},
			groups: []string{""}, limits: []int{20}, read: vital},
		{key: "reports", title: "REPORTS", types: []string{"DiagnosticReport"},
			columns: []string{"date", "report", "status", "holds", "by"}, brief: []int{0, 1, 2},
			groups: []string{""}, limits: []int{10}, read: report},
		{key: "visits", title: "VISITS", types: []string{"Encounter"},
			columns: []string{"date", "visit", "reason", "with", "status"}, brief: []int{0, 1, 2, 4},
			groups: []string{""}, limits: []int{12}, read: visit},
		{key: "procedures", title: "PROCEDURES", types: []string{"Procedure"},
			columns: []string{"date", "procedure", "reason", "status"}, brief: []int{0, 1, 3},
			groups: []string{""}, limits: []int{10}, read: procedure},
		{key: "immunizations", title: "IMMUNIZATIONS", types: []string{"Immunization"},
			columns: []string{"vaccine", "date", "dose", "lot", "status"}, brief: []int{0, 1},
			groups: []string{"Given", "NOT done"}, limits: []int{20, 0}, read: immunization},
		{key: "documents", title: "DOCUMENTS", types: []string{"DocumentReference"},
			columns: []string{"date", "document", "author", "format", "status"}, brief: []int{0, 1, 2, 4},
			groups: []string{"", "Superseded"}, limits: []int{12, 5}, read: document},
		{key: "orders", title: "ORDERS", types: []string{"ServiceRequest"},
			columns: []string{"date", "order", "reason", "by", "status"}, brief: []int{0, 1, 4},
			groups: []string{"Open", "Done, stopped or of unknown status"}, limits: []int{20, 10}, read: serviceOrder},
		{key: "plan", title: "PLAN AND TEAM", types: []string{"CarePlan", "Goal", "CareTeam"},
			columns: []string{"plan, goal or team", "holds", "since", "by", "status"}, brief: []int{0, 4},
			groups: []string{"Care plans", "Goals", "Care teams"}, limits: []int{5, 10, 5}, read: planAndTeam},
		{key: "appointments", title: "APPOINTMENTS", types: []string{"Appointment"},
			columns: []string{"date", "for", "with", "status"}, brief: []int{0, 1, 2},
			groups: []string{"Coming", "Past", "No date", "Cancelled or missed"}, limits: []int{10, 5, 5, 5}, oldFirst: true,
			read: appointment},
		{key: "coverage", title: "COVERAGE", types: []string{"Coverage"},
			columns: []string{"payer", "member", "plan", "period", "status"}, brief: []int{0, 1, 3, 4},
			groups: []string{""}, limits: []int{10}, read: coverage},
		{key: "other", title: "OTHER RECORDS", columns: []string{"kind", "record"}, brief: []int{0, 1}, groups: []string{""}},
	}
}

// SectionKeys returns the keys of all sections in their order.
func SectionKeys() []string {
	var keys []string
	for _, p := range plans() {
		keys = append(keys, p.key)
	}
	return keys
}
