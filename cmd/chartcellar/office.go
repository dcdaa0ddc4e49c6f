package main

import (
	"time"

	"chartcellar/store"
)

// An office is what stands behind the pages: it answers from the mirror and from the
// daemon, and hands the daemon what people ask for. It is a viewer.Backend.
type office struct {
	e *env
	d *daemon // nil: a folder that is only looked at
	m *store.Mirror
}

// now is the time that pages go by.
func (o *office) now() time.Time { return o.e.now() }
