package chart

import "time"

// Attended returns on which day a visit began; ok is false for one that did not take
// place, one that is not as FHIR says, and one without a day. It reads only what it needs:
// it is for very many records.
func Attended(r Resource) (day time.Time, ok bool) {
	status, period := "", []byte(nil)
	if _, err := readable(r, nil); err != nil {
		return day, false
	}
	eachMember(r.Raw, func(name, value []byte) { // the record was read before
		switch string(name) {
		case "status":
			status = stringOf(value)
		case "period":
			period = value
		}
	})
	switch status {
	case "planned", "cancelled", "entered-in-error", "unknown":
		return day, false
	}
	start := ""
	err := eachMember(period, func(name, value []byte) {
		if string(name) == "start" {
			start = stringOf(value)
		}
	})
	if err != nil {
		return day, false
	}
	return dayIn(start)
}

// Booked returns when an appointment begins that may still take place; ok is false for any
// other, for one that is not as FHIR says, and for one without a day.
func Booked(r Resource) (day time.Time, ok bool) {
	status, start := "", ""
	if _, err := readable(r, nil); err != nil {
		return day, false
	}
	eachMember(r.Raw, func(name, value []byte) { // the record was read before
		switch string(name) {
		case "status":
			status = stringOf(value)
		case "start":
			start = stringOf(value)
		}
	})
	switch status {
	case "proposed", "pending", "booked", "waitlist", "arrived", "checked-in":
		return dayIn(start)
	}
	return day, false
}

// dayIn returns the day of a date as it is given, whatever zone it is given in; ok is
// false if it has no day.
func dayIn(date string) (day time.Time, ok bool) {
	if _, good := parseDate(date); !good || len(date) < len("2006-01-02") {
		return day, false
	}
	day, err := time.Parse("2006-01-02", date[:len("2006-01-02")])
	return day, err == nil
}
