// Round lots and quote conditions: what the tape says about a quote besides its prices.

/**
 * Shares in a round lot at this price, by Rule 600(b)(93) of Regulation NMS since November 2025. The rule uses last month's
 * average price; a live price is nearly always in the same tier.
 */
export function roundLot(price) {
  if (price <= 250) return 100;
  if (price <= 1_000) return 40;
  return price <= 10_000 ? 10 : 1;
}

/** Conditions from the UTP and CTA quote specifications that change how much a displayed price means. */
const MEANINGS = {
  A: ["slow_ask"],
  B: ["slow_bid"],
  H: ["slow_bid", "slow_ask"],
  I: ["imbalance"],
  O: ["opening"],
  C: ["closing"],
  F: ["fast"],
  X: ["fast"],
};

/** The badges a screen shows next to the price, without duplicates, in the order of the letters. */
export function badges(conditions) {
  const found = [];
  for (const letter of conditions) {
    for (const badge of MEANINGS[letter] ?? []) {
      if (!found.includes(badge)) found.push(badge);
    }
  }
  return found;
}
