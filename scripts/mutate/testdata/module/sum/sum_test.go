package sum

import (
	"os/exec"
	"testing"
)

func TestSum(t *testing.T) {
	for name, c := range map[string]struct {
		in   []int
		want int
	}{
		"positive": {[]int{1, 2}, 3},
		"negative": {[]int{1, -2}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Sum(c.in); got != c.want {
				t.Fatalf("got %d", got)
			}
		})
	}
}

func TestCount(t *testing.T) {
	if Count([]int{1, -1}) != 1 {
		t.Fatal("wrong")
	}
}

func TestProgram(t *testing.T) {
	if out, err := exec.Command("go", "run", "../program").CombinedOutput(); err != nil || string(out) != "3" {
		t.Fatalf("%s, %v", out, err)
	}
}

func TestFails(t *testing.T) { t.Fatal("always") }

func TestSkips(t *testing.T) { t.Skip("always") }
