package physics_test

import (
	"context"
	"fmt"

	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/reward/physics"
)

func ExampleScoreQuantity() {
	problem := physics.QuantityProblem{Want: "20 m/s"}
	for _, answer := range []string{"72 km/h", `2.0 \times 10^{3}\,\mathrm{cm/s}`, "25 m/s", "20 m"} {
		s := reward.Sample{Completion: `Thus \boxed{` + answer + `}.`, Answer: problem}
		v := physics.ScoreQuantity(context.Background(), s)
		fmt.Println(v.Value, v.Status, v.Err)
	}
	// Output:
	// 1 correct <nil>
	// 1 correct <nil>
	// 0 wrong physics: 25 m s^-1, want 20 m s^-1
	// 0 wrong physics: dimension m, want m s^-1
}

func ExampleScoreTrajectory() {
	// A stone is dropped from 20 m. Where is it in the next two seconds?
	problem := physics.TrajectoryProblem{
		Laws:  []physics.Law{physics.UniformAcceleration(-9.81)},
		Start: &physics.State{X: []float64{20}, V: []float64{0}},
		Until: 2, Rows: 4,
	}
	const answer = `<answer>
t [s], x [m], vx [m/s]
0,   20.0,  0
0.5, 18.8, -4.9
1,   17.5, -9.8
2,    0.4, -19.6
</answer>`
	v := physics.ScoreTrajectory(context.Background(), reward.Sample{Completion: answer, Answer: problem})
	fmt.Println(v.Value, v.Status, v.Err)
	// Output:
	// 0 wrong physics: uniform acceleration: row 2 (t = 1 s): x[0] is 17.5, want 15.095
}
