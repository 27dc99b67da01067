// Command program prints a sum.
package main

import (
	"fmt"

	"example.org/fixture/sum"
)

func main() { fmt.Print(sum.Sum([]int{1, 2})) }
