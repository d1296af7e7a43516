//! Lists of metadata names, each kept once: a tree in which a list is one name longer than its parent.
//!
//! In: a list and the name that follows. Out: the number of the longer list. The entries of a stream mostly have the same names,
//! so that the child found last is looked at first, and finding costs one comparison a name.

use super::flat::Span;

/// Children of a list that are looked at for a name; one that is not among them is added again.
const CHILDREN_TRIED_MAX: usize = 64;

/// Lists of names, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameLists(Vec<List>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct List {
    /// The last name.
    name: Span,
    /// How a body writes it and what stands around it, if another one may be compared with that.
    written: Span,
    /// The list without it.
    parent: u32,
    /// The child found last; 0 if there is none.
    child: u32,
    /// How that one's name is written.
    child_written: Span,
    /// Another child of the parent; 0 if there is none.
    sibling: u32,
    len: u32,
    bytes: u32,
}

impl Default for NameLists {
    fn default() -> Self {
        NameLists(vec![List::default()])
    }
}

impl NameLists {
    /// The number of the list without names.
    pub const EMPTY: u32 = 0;

    /// How many lists there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many names a list has.
    #[inline]
    pub fn len(&self, list: u32) -> usize {
        self.0.get(list as usize).map_or(0, |list| list.len as usize)
    }

    /// The bytes of a list's names.
    #[inline]
    pub fn bytes(&self, list: u32) -> usize {
        self.0.get(list as usize).map_or(0, |list| list.bytes as usize)
    }

    /// A list's names.
    pub fn names(&self, list: u32) -> Vec<Span> {
        let mut names = Vec::with_capacity(self.len(list));
        let mut rest = list;
        while let Some(list) = self.0.get(rest as usize).filter(|_| rest != Self::EMPTY) {
            names.push(list.name);
            rest = list.parent;
        }
        names.reverse();
        names
    }

    /// The child found last, if its name is `written` somewhere, and where that is.
    #[inline]
    pub(super) fn likely(&self, list: u32) -> Option<(u32, Span)> {
        let list = self.0.get(list as usize)?;
        (!list.child_written.is_empty()).then_some((list.child, list.child_written))
    }

    /// The list that has one name more, if it is known. `text` is where the names are.
    pub(super) fn find(&mut self, text: &[u8], list: u32, name: &[u8]) -> Option<u32> {
        let child = self.0.get(list as usize)?.child;
        let known = self.0.get(child as usize).filter(|_| child != Self::EMPTY)?;
        if known.name.of_bytes(text) == name {
            return Some(child);
        }
        self.find_sibling(text, list, name, child)
    }

    /// Looks among the other children, and makes the one found the first.
    fn find_sibling(&mut self, text: &[u8], list: u32, name: &[u8], first: u32) -> Option<u32> {
        let mut before = first;
        for _ in 1..CHILDREN_TRIED_MAX {
            let child = self.0.get(before as usize)?.sibling;
            let known = self.0.get(child as usize).filter(|_| child != Self::EMPTY)?;
            if known.name.of_bytes(text) == name {
                let (written, sibling) = (known.written, known.sibling);
                self.0.get_mut(before as usize)?.sibling = sibling;
                self.0.get_mut(child as usize)?.sibling = first;
                let parent = self.0.get_mut(list as usize)?;
                (parent.child, parent.child_written) = (child, written);
                return Some(child);
            }
            before = child;
        }
        None
    }

    /// Adds the list that has this name more.
    pub(super) fn add(&mut self, list: u32, name: Span, written: Span) -> u32 {
        let number = self.0.len() as u32;
        let (mut len, mut bytes, mut sibling) = (1, name.len() as u32, Self::EMPTY);
        if let Some(parent) = self.0.get_mut(list as usize) {
            (len, bytes) = (len + parent.len, bytes + parent.bytes);
            sibling = std::mem::replace(&mut parent.child, number);
            parent.child_written = written;
        }
        self.0.push(List { name, written, parent: list, sibling, len, bytes, ..List::default() });
        number
    }

    /// Puts other places in place of those of all names.
    pub(super) fn move_names<E>(&mut self, mut moved: impl FnMut(Span) -> Result<Span, E>) -> Result<(), E> {
        for number in 1..self.0.len() {
            let parent_bytes = self.0.get(number).map_or(0, |list| self.bytes(list.parent));
            if let Some(list) = self.0.get_mut(number) {
                list.name = moved(list.name)?;
                list.bytes = (parent_bytes + list.name.len()) as u32;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists of up to four names out of many: each is found again as what it is, however many siblings there are.
    #[test]
    fn a_list_is_its_names() {
        let text: String = (0..100).map(|i| format!("n{i:02}")).collect();
        let name = |i: usize| Span::new(3 * i, 3 * i + 3);
        let mut lists = NameLists::default();
        let mut seed = 7_usize;
        let mut numbers = std::collections::HashMap::new();
        for round in 0..3000 {
            let mut list = NameLists::EMPTY;
            let mut wanted = Vec::new();
            for _ in 0..round % 5 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Few at first, so that lists come again; later more than are tried.
                let next = name((seed >> 33) % if round < 2000 { 4 } else { 100 });
                wanted.push(next);
                let found = lists.find(text.as_bytes(), list, next.of(&text).as_bytes());
                list = found.unwrap_or_else(|| lists.add(list, next, Span::default()));
            }
            assert_eq!(lists.names(list), wanted);
            assert_eq!((lists.len(list), lists.bytes(list)), (wanted.len(), 3 * wanted.len()));
            let known = *numbers.entry(wanted).or_insert(list);
            assert!(round >= 2000 || known == list, "kept once");
        }
    }
}
