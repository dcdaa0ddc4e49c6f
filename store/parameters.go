package store

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"chartcellar/store/index"
)

// What a line of Parameters of ours says, by the code of its tag.
const (
	codeLink    = "link"    // which content an attachment of a record had
	codeHolding = "holding" // a file of a holding
)

// Parameters are a line of ours that names a content.
type parameters struct {
	ResourceType string `json:"resourceType"`
	Meta         struct {
		Tag []lineTagging `json:"tag"`
	} `json:"meta"`
	Parameter []parameter `json:"parameter"`
}

type parameter struct {
	Name        string `json:"name"`
	ValueString string `json:"valueString"`
}

func newParameters(code string) *parameters {
	p := &parameters{ResourceType: "Parameters"}
	p.Meta.Tag = []lineTagging{{System: lineTag, Code: code}}
	return p
}

func parseParameters(raw []byte) (*parameters, error) {
	p := &parameters{}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("a link cannot be read: %w", ErrDamaged)
	}
	return p, nil
}

// code says what the line is.
func (p *parameters) code() string {
	if len(p.Meta.Tag) == 0 {
		return ""
	}
	return p.Meta.Tag[0].Code
}

// add adds a parameter, unless it is empty.
func (p *parameters) add(name, value string) {
	if value != "" {
		p.Parameter = append(p.Parameter, parameter{name, value})
	}
}

// stored names the file of a large content, where a line is the first to do so.
func (p *parameters) stored(f *index.File) {
	if f != nil {
		p.add("stored", fmt.Sprintf("%d %x %s", f.Size, f.SHA256, f.Name))
	}
}

// values returns the parameters by their names.
func (p *parameters) values() map[string]string {
	get := map[string]string{}
	for _, one := range p.Parameter {
		get[one.Name] = one.ValueString
	}
	return get
}

// content returns the name and the size of the content.
func (p *parameters) content() (name index.BlobName, size int64, err error) {
	get := p.values()
	sum, err := hex.DecodeString(get["name"])
	if err != nil || len(sum) != len(name) {
		return name, 0, ErrDamaged
	}
	size, err = strconv.ParseInt(get["size"], 10, 64)
	return index.BlobName(sum), size, err
}

// file returns what stored has named; nil if it named nothing.
func (p *parameters) file() (*index.File, error) {
	stored := p.values()["stored"]
	if stored == "" {
		return nil, nil
	}
	f := &index.File{}
	var sum []byte
	if _, err := fmt.Sscanf(stored, "%d %x %s", &f.Size, &sum, &f.Name); err != nil || len(sum) != 32 {
		return nil, fmt.Errorf("a link cannot be read: %w", ErrDamaged)
	}
	f.SHA256 = [32]byte(sum)
	return f, nil
}
