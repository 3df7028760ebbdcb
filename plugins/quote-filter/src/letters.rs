/// Which ASCII letters may pass.
#[derive(Debug)]
pub(crate) struct Letters([bool; 256]);

impl Letters {
    /// None when both lists are empty. 0, which stands for no letter, always passes.
    pub(crate) fn new(allow: &[char], deny: &[char]) -> Option<Self> {
        if allow.is_empty() && deny.is_empty() {
            return None;
        }
        let mut pass = [allow.is_empty(); 256];
        for (letters, value) in [(allow, true), (deny, false)] {
            for byte in letters.iter().filter_map(|&letter| u8::try_from(letter).ok()) {
                pass[usize::from(byte)] = value;
            }
        }
        pass[0] = true;
        Some(Self(pass))
    }

    pub(crate) fn pass(&self, letter: u8) -> bool {
        self.0[usize::from(letter)]
    }

    /// Whether all four letters of a packed condition pass.
    pub(crate) fn all_pass(&self, packed: u32) -> bool {
        packed.to_le_bytes().into_iter().all(|letter| self.pass(letter))
    }
}
