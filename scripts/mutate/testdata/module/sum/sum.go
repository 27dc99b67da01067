// Package sum is what the tests of scripts/mutate change.
package sum

// Limit is the most that Sum returns.
const Limit = 100

// Sum adds what is positive, up to Limit.
func Sum(in []int) int {
	total := 0
	for _, n := range in {
		if n < 0 {
			continue
		}
		total += n
	}
	return min(total, Limit)
}

// Count counts what is positive.
func Count(in []int) int {
	total := 0
	for _, n := range in {
		if n < 0 {
			continue
		}
		total++
	}
	return total
}
