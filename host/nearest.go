package host

import "fmt"

// Nearest is the known word that differs least, for "did you mean"; "" if none is near.
func Nearest(word string, known []string) string {
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := distance(word, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is Levenshtein's: single-character edits between two words.
func distance(a, b string) int {
	line := make([]int, len(b)+1)
	for j := range line {
		line[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := line[0]
		line[0] = i
		for j := 1; j <= len(b); j++ {
			d := diagonal
			if a[i-1] != b[j-1] {
				d = 1 + min(diagonal, line[j], line[j-1])
			}
			diagonal, line[j] = line[j], d
		}
	}
	return line[len(b)]
}

func keyNames() []string {
	out := make([]string, len(Settings))
	for i, s := range Settings {
		out[i] = s.Key
	}
	return out
}

// didYouMean ends an error about an unknown key.
func didYouMean(key string) string {
	if n := Nearest(key, keyNames()); n != "" {
		return fmt.Sprintf("did you mean %s? `mpcd config show` lists every key", n)
	}
	return "`mpcd config show` lists every key"
}
