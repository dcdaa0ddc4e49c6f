package scan

import (
	"bytes"
	"slices"
)

// The members that are noted: of the root and of meta.
const (
	keyNone = iota
	keyType
	keyID
	keyMeta
	keyPatient // from here in the order in which they name the patient
	keySubject
	keyBeneficiary
	keyFor
	keyIndividual
	keyParticipant
	keyActor
	keyTarget
	keySource
	keyVersionID
	keyLastUpdated
	keyTag
	keyCount
)

func rootKey(name []byte) int {
	switch string(name) {
	case "resourceType":
		return keyType
	case "id":
		return keyID
	case "meta":
		return keyMeta
	case "patient":
		return keyPatient
	case "subject":
		return keySubject
	case "beneficiary":
		return keyBeneficiary
	case "for":
		return keyFor
	case "individual":
		return keyIndividual
	case "participant":
		return keyParticipant
	case "actor":
		return keyActor
	case "target":
		return keyTarget
	case "source":
		return keySource
	}
	return keyNone
}

func metaKey(name []byte) int {
	switch string(name) {
	case "versionId":
		return keyVersionID
	case "lastUpdated":
		return keyLastUpdated
	case "tag":
		return keyTag
	}
	return keyNone
}

// attachmentNames reports whether a member of that name holds FHIR Attachments
// (R4: every element of type Attachment, and value[x] of that type).
func attachmentNames(name []byte) bool {
	switch string(name) {
	case "attachment", "valueAttachment", "contentAttachment", "sourceAttachment",
		"defaultValueAttachment", "photo", "presentedForm", "content", "document", "image":
		return true
	}
	return false
}

// fewNames is how many names are compared as they come; more are sorted at the
// end, so that a root of a million members costs no million squared (P118).
const fewNames = 64

// members are the noted members of an object whose names must not repeat.
type members struct {
	at    [keyCount]span
	names [][]byte // unescaped
	seen  uint64
	twice bool
}

func (m *members) reset() {
	m.at = [keyCount]span{}
	m.names, m.seen, m.twice = m.names[:0], 0, false
	if cap(m.names) > 16*fewNames {
		m.names = nil
	}
}

// note remembers a name; the bits of seen spare most of the comparisons.
func (m *members) note(name []byte) {
	m.names = append(m.names, name)
	if len(m.names) > fewNames {
		return
	}
	last := byte(0)
	if len(name) > 0 {
		last = name[len(name)-1]
	}
	bit := uint64(1) << ((uint(len(name))*7 + uint(last)*31) & 63)
	if m.seen&bit != 0 {
		for _, n := range m.names[:len(m.names)-1] {
			if bytes.Equal(n, name) {
				m.twice = true
			}
		}
	}
	m.seen |= bit
}

// repeats reports whether a name was noted twice. It is called once, at the end.
func (m *members) repeats() bool {
	if m.twice || len(m.names) <= fewNames {
		return m.twice
	}
	slices.SortFunc(m.names, bytes.Compare)
	for i := 1; i < len(m.names); i++ {
		if bytes.Equal(m.names[i-1], m.names[i]) {
			return true
		}
	}
	return false
}
