package docs

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// protocols is the page that the source cites.
const protocols = "docs/PROTOCOLS.md"

// laterMark stands in the heading of what no code does yet.
const laterMark = "(not in this build)"

// section is a numbered section of the page.
type section struct {
	number string   // as "A.3.4"
	later  bool     // no code does it yet
	items  []string // what its list numbers in bold, as "C1" or "dkg-share"
}

// page is docs/PROTOCOLS.md, as far as it is numbered.
type page struct {
	sections []section       // in the order of the page
	named    map[string]bool // everything in bold: the names of checks among it
}

var (
	heading = regexp.MustCompile(`^#{2,4} ((?:[A-F]|[0-9])(?:\.[0-9]+)*) `)
	listed  = regexp.MustCompile(`^- (\*\*[^*]+\*\*(?:, \*\*[^*]+\*\*)*)`)
	bold    = regexp.MustCompile(`\*\*([^*]+)\*\*`)
)

func readPage(root fs.FS) (*page, error) {
	src, err := fs.ReadFile(root, protocols)
	if err != nil {
		return nil, err
	}
	p := &page{named: map[string]bool{}}
	for line := range strings.Lines(string(src)) {
		for _, m := range bold.FindAllStringSubmatch(line, -1) {
			p.named[m[1]] = true
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			if p.section(m[1]) != nil {
				return nil, fmt.Errorf("docs: %s has two sections %s", protocols, m[1])
			}
			p.sections = append(p.sections, section{number: m[1], later: strings.Contains(line, laterMark)})
		}
		if m := listed.FindStringSubmatch(line); m != nil && len(p.sections) > 0 {
			s := &p.sections[len(p.sections)-1]
			for _, item := range bold.FindAllStringSubmatch(m[1], -1) {
				s.items = append(s.items, item[1])
			}
		}
	}
	if len(p.sections) == 0 {
		return nil, fmt.Errorf("docs: %s has no numbered sections", protocols)
	}
	return p, nil
}

// section returns the section of the number, nil if the page has none.
func (p *page) section(number string) *section {
	for i := range p.sections {
		if p.sections[i].number == number {
			return &p.sections[i]
		}
	}
	return nil
}

// under tells whether a section is the one of the number or below it.
func (s section) under(number string) bool {
	return s.number == number || strings.HasPrefix(s.number, number+".")
}
