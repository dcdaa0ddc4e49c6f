package viewer

import (
	"context"
	"io"
	"time"

	"chartcellar/cmd/chartcellar/internal/patientfile"
)

// Giving prints charts and gives them away. Each method writes the journal line first:
// who, of whom, for whom and why.
type Giving interface {
	// Print makes the sheet of a chart. Of what is labelled sensitive it has nothing if
	// the actor may not see it.
	Print(context.Context, Actor, Place, patientfile.Choice) (Printed, error)
	// Give writes the package for a patient as it is made. An error that comes before the
	// first byte is a *Refusal where it is for the person at the screen.
	Give(context.Context, Actor, Place, Gift, io.Writer) error
}

// A Printed is a chart that is to be printed.
type Printed struct {
	ChartHead
	Sheet *patientfile.Sheet
}

// A Gift is who gets a package, and what is in it.
type Gift struct {
	For, Purpose string
	Choice       patientfile.Choice
	Password     string // the package is encrypted with it; "": it is not
}

// Downtimes are the sheets for a day on which nothing works.
type Downtimes interface {
	// Downtime opens the newest sheet. It needs the key.
	Downtime(context.Context, Actor) (Downtime, error)
	// MakeDowntime starts making a sheet.
	MakeDowntime(context.Context, Actor) error
	// ListDowntime keeps the list of patients that the practice gave; an empty one ends it.
	ListDowntime(ctx context.Context, a Actor, list string) error
}

// A Downtime is how the sheets stand.
type Downtime struct {
	Sheet   *patientfile.Downtime // the newest; nil: none was made yet
	Missing string                // that one is owed, and why there is none; "" if none is
	When    string                // when one is made, in words
	Next    time.Time             // zero: never
	List    string                // the practice's list of patients
	ListAt  time.Time             // since when it is kept; zero: there is none
}
