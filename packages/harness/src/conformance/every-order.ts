/**
 * Calls `run` with one sequence of choices after the other, none twice, until there are no more or there is no time for more.
 * @param run - makes its choices by the function it is given, which takes how many there are; whether to go on
 */
export async function inEveryOrder(
  most: number,
  run: (choose: (count: number) => number) => Promise<boolean>,
): Promise<{ readonly orderCount: number; readonly isComplete: boolean }> {
  const path: { choice: number; count: number }[] = [];
  for (let orderCount = 1; ; orderCount++) {
    let depth = 0;
    const goesOn = await run((count) => {
      if (depth === path.length) path.push({ choice: 0, count });
      return path[depth++]!.choice;
    });
    while (path.length > 0 && path[path.length - 1]!.choice + 1 >= path[path.length - 1]!.count)
      path.pop();
    if (path.length === 0) return { orderCount, isComplete: true };
    path[path.length - 1]!.choice++;
    if (!goesOn || orderCount === most) return { orderCount, isComplete: false };
  }
}
