package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// A list of thousands of mutants takes hours. So what was found of each is kept in a file, a line for each mutant, with the day and the
// commit; a run of those that were tried longest ago, or never, brings it up to date a part at a time.

// kept is what was found last, by mutant.
type kept map[string]string

var keptLine = regexp.MustCompile(`^\S+( OUT)? +[0-9.]+s  (\S+)  .*@(\d{4}-\d\d-\d\d) [0-9a-f]+(, changed)?$`)

// readKept reads the lines of a file that is there or not.
func readKept(path string) (kept, error) {
	b, err := os.ReadFile(path)
	if path != "" && err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	k := kept{}
	for s := bufio.NewScanner(strings.NewReader(string(b))); s.Scan(); {
		if m := keptLine.FindStringSubmatch(s.Text()); m != nil {
			k[m[2]] = s.Text()
		}
	}
	return k, nil
}

// day is when a mutant was tried last; "" if it never was.
func (k kept) day(m *mutant) string {
	if found := keptLine.FindStringSubmatch(k[m.id()]); found != nil {
		return found[3]
	}
	return ""
}

// next are the n of them that were tried longest ago, those that never were first.
func (k kept) next(ms []*mutant, n int) []*mutant {
	ms = slices.Clone(ms)
	slices.SortStableFunc(ms, func(a, b *mutant) int { return cmp.Compare(k.day(a), k.day(b)) })
	return ms[:min(n, len(ms))]
}

// write writes what is known now of all that the list has, and what of it is not yet known.
func (k kept) write(path string, all []*mutant, r report) error {
	for _, x := range r.results {
		first, _, _ := strings.Cut(x.String(), "\n")
		k[x.id()] = fmt.Sprintf("%s  @%s %s", strings.TrimRight(first, " "), r.begun.UTC().Format("2006-01-02"), r.commit)
	}
	var b strings.Builder
	n, never := map[string]int{}, 0
	for _, m := range all {
		line, ok := k[m.id()]
		if !ok {
			never++
			continue
		}
		fmt.Fprintln(&b, line)
		verdict, _, _ := strings.Cut(line, " ")
		n[verdict]++
	}
	fmt.Fprintf(&b, "\n%d mutants:", len(all))
	for _, verdict := range slices.Sorted(maps.Keys(n)) {
		fmt.Fprintf(&b, " %d %s,", n[verdict], verdict)
	}
	fmt.Fprintf(&b, " %d not tried yet; last run %s, %s\n", never, r.begun.UTC().Format("2006-01-02 15:04 UTC"), r.machine)
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
