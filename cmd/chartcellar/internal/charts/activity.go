package charts

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	"chartcellar/store/chart"
)

// An activity is when patients were here last and come next, and whom the last run of
// their EMR has changed. It is not changed once it is made.
type activity struct {
	run    uint32 // the newest run that was closed: what came later is not in it
	day    string // what is coming is seen from this day
	of     map[store.Whose]visits
	unread int   // visits and appointments that could not be read
	err    error // why it could not be made
}

// visits are days since 1970, 0 for none: [0] without what is labelled sensitive, [1] with
// it.
type visits struct {
	last, next [2]int32
	changed    bool
}

func dayNumber(t time.Time) int32 { return int32(t.Unix() / (24 * 60 * 60)) }

func dayOf(n int32) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(int64(n)*24*60*60, 0).UTC()
}

// as reports whether it was made of what this run left, on this day.
func (a *activity) as(run uint32, day string) bool {
	return a != nil && a.run == run && a.day == day && a.err == nil
}

// An activityKeeper has the activity read once for each run.
type activityKeeper struct {
	wake chan struct{}

	// mu covers what follows.
	mu    sync.Mutex
	now   *activity     // nil: nothing was read yet
	next  chan struct{} // closed when now changes
	times uint64        // how often it was forgotten
}

func newActivityKeeper() *activityKeeper {
	return &activityKeeper{wake: make(chan struct{}, 1), next: make(chan struct{})}
}

// forget drops the activity; what is being read is not kept either.
func (k *activityKeeper) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.times++
	k.put(nil)
}

// set keeps an activity, unless it was forgotten since it was begun.
func (k *activityKeeper) set(a *activity, times uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.times == times {
		k.put(a)
	}
}

// put changes the activity. The caller holds mu.
func (k *activityKeeper) put(a *activity) {
	k.now = a
	close(k.next)
	k.next = make(chan struct{})
}

// begin returns what set is to be told.
func (k *activityKeeper) begin() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.times
}

func (k *activityKeeper) get() (*activity, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now, k.next
}

// Wake says that the mirror has been unlocked: the patients are read before somebody asks.
func (r *Room) Wake() {
	select {
	case r.activity.wake <- struct{}{}:
	default: // it is awake
	}
}

// Run reads the patients, their visits and their appointments whenever somebody may ask
// for them, until ctx ends. Without it the list of patients says no visit.
func (r *Room) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.activity.wake:
		}
		times, run, day := r.activity.begin(), r.lastClosed(), r.today()
		_, err := r.people(ctx, "")
		if a, _ := r.activity.get(); err == nil && a.as(run, day) {
			continue
		}
		a := &activity{run: run, day: day, err: err}
		if err == nil {
			a, err = r.readActivity(ctx, run, day)
			a.err = locked(err)
		}
		r.activity.set(a, times)
	}
}

func (r *Room) today() string { return r.o.Now().In(r.o.Zone()).Format("2006-01-02") }

// lastClosed is the newest run that changed what counts and was closed; 0 if there is none.
func (r *Room) lastClosed() uint32 {
	runs, err := r.m.Runs()
	i := slices.IndexFunc(runs, func(run store.RunInfo) bool {
		return run.Closing != 0 && slices.Contains([]string{"sync", "decision", "repair", store.KindSeal}, run.Kind)
	})
	if err != nil || i < 0 {
		return 0
	}
	return runs[i].Number
}

// known returns the activity as of the last run that was closed. If it is being read, that
// is waited for with wait; else the result is nil.
func (r *Room) known(ctx context.Context, wait bool) (*activity, error) {
	for {
		a, changed := r.activity.get()
		if a.as(r.lastClosed(), r.today()) {
			return a, nil
		}
		r.Wake()
		if !wait {
			return nil, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if a, _ := r.activity.get(); a != nil && a.err != nil {
			return nil, a.err
		}
	}
}

// readActivity goes through the visits and appointments of all sources.
func (r *Room) readActivity(ctx context.Context, run uint32, day string) (*activity, error) {
	a := &activity{run: run, day: day, of: map[store.Whose]visits{}}
	at, err := time.Parse("2006-01-02", day)
	if err != nil {
		return a, err
	}
	today := dayNumber(at)
	last := func(v *visits, i int, day int32) {
		if day <= today {
			v.last[i] = max(v.last[i], day)
		}
	}
	next := func(v *visits, i int, day int32) {
		if day >= today && (v.next[i] == 0 || day < v.next[i]) {
			v.next[i] = day
		}
	}
	for _, source := range r.o.Sources() {
		rd, _, err := r.reading(source, "")
		if err == nil {
			err = r.eachDay(ctx, rd, a, "Encounter", chart.Attended, last)
		}
		if err == nil {
			err = r.eachDay(ctx, rd, a, "Appointment", chart.Booked, next)
		}
		if err == nil {
			err = r.mark(ctx, rd, a)
		}
		if err != nil {
			return a, err
		}
	}
	return a, nil
}

// eachDay reads the records of a type, one after the other, and lets pages go first.
func (r *Room) eachDay(ctx context.Context, rd *Reading, a *activity, typ string, read func(chart.Resource) (time.Time, bool),
	note func(v *visits, i int, day int32)) error {
	all := func(store.Mark) bool {
		r.turns.wait(ctx)
		return true
	}
	err := rd.Snap.EachNew(ctx, rd.Source, typ, 1, all, func(_ int, m store.Mark, id string, raw []byte) error {
		r.turns.wait(ctx)
		res := chart.Resource{Type: typ, ID: id, Raw: raw}
		day, ok := read(res)
		if !ok {
			return nil
		}
		v := a.of[m.Whose()]
		note(&v, 1, dayNumber(day))
		if !chart.Sensitive(raw) {
			note(&v, 0, dayNumber(day))
		}
		a.of[m.Whose()] = v
		return nil
	})
	var damage *store.DamagedError
	if errors.As(err, &damage) {
		a.unread += damage.Records
		return nil
	}
	return err
}

// mark marks whom the last pull of a source has changed, unless it was the first.
func (r *Room) mark(ctx context.Context, rd *Reading, a *activity) error {
	runs, err := rd.M.Runs()
	if err != nil {
		return err
	}
	pulls := slices.DeleteFunc(slices.Clone(runs), func(run store.RunInfo) bool {
		return run.Kind != "sync" || run.Source != rd.Source || run.Closing == 0
	})
	if len(pulls) < 2 {
		return nil
	}
	return rd.Snap.ChangedBy(ctx, pulls[0].Number, func() { r.turns.wait(ctx) }, func(w store.Whose) {
		v := a.of[w]
		v.changed = true
		a.of[w] = v
	})
}

// activityFor is the activity that a list of patients shows: none of an earlier day, and
// nil while it is being read. It is waited for if the query asks for some of it.
func (r *Room) activityFor(ctx context.Context, q viewer.PatientQuery) (*activity, error) {
	asks := q.Since != "" || q.Coming || q.Changed
	switch {
	case q.AsOf != "" && asks:
		return nil, &viewer.Refusal{Words: "Visits, appointments and the last run are only known of today's copy: leave the day out, or these filters."}
	case q.AsOf != "" || q.Hint:
		return nil, nil
	}
	return r.known(ctx, asks)
}

// visits are those of a patient, as who asks may see them: in [0].
func (a *activity) visits(who viewer.Actor, m store.Mark) visits {
	if a == nil {
		return visits{}
	}
	v := a.of[m.Whose()]
	if who.Sensitive {
		v.last[0], v.next[0] = v.last[1], v.next[1]
	}
	return v
}

// fit reports whether the visits are as a query asks.
func (v *visits) fit(q viewer.PatientQuery) bool {
	return (q.Since == "" || v.last[0] != 0 && dayOf(v.last[0]).Format("2006-01-02") >= q.Since) &&
		(!q.Coming || v.next[0] != 0) && (!q.Changed || v.changed)
}
