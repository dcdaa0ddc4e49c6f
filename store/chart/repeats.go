package chart

import (
	"encoding/json"
	"fmt"

	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// repeats are parts of results that were read before: those of a patient say the same
// again and again, what was measured, by whom and what is usual. They are half of a
// result, and reading one takes far longer than finding it. What was read is shared, so
// nobody may change it.
type repeats struct {
	codes      known[fhir.CodeableConcept]
	categories known[[]fhir.CodeableConcept]
	performers known[[]fhir.Reference]
	ranges     known[[]fhir.ObservationReferenceRange]
}

// known is what was read, by the bytes it was read from.
type known[T any] map[string]T

// read reads a value into to, unless there is none.
func (k *known[T]) read(value []byte, to *T) error {
	if value == nil {
		return nil
	}
	v, ok := (*k)[string(value)]
	if !ok {
		if err := json.Unmarshal(value, &v); err != nil {
			return fmt.Errorf("%w: %v", ErrRefused, err)
		}
		if *k == nil {
			*k = known[T]{}
		}
		(*k)[string(value)] = v
	}
	*to = v
	return nil
}

// observation is read for a result.
func (k *repeats) observation(r Resource) (o fhir.Observation, err error) {
	var code, category, performer, ranges []byte
	rest, err := readBut[fhir.Observation](r, func(name, value []byte) bool {
		switch string(name) {
		case "code":
			code = value
		case "category":
			category = value
		case "performer":
			performer = value
		case "referenceRange":
			ranges = value
		default:
			return false
		}
		return true
	})
	if err == nil {
		err = k.codes.read(code, &rest.Code)
	}
	if err == nil {
		err = k.categories.read(category, &rest.Category)
	}
	if err == nil {
		err = k.performers.read(performer, &rest.Performer)
	}
	if err == nil {
		err = k.ranges.read(ranges, &rest.ReferenceRange)
	}
	if err != nil {
		return o, err
	}
	return rest, nil
}
